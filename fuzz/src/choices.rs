//! Choices out of the first bytes of an input; the rest is what a peer sends.

/// Takes bytes from the front; zeros where there are none left.
pub struct Choices<'a>(pub &'a [u8]);

impl Choices<'_> {
    /// Takes a byte.
    pub fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first
    }

    /// Takes one of `count` choices: a number from 0.
    pub fn one_of(&mut self, count: usize) -> usize {
        usize::from(self.byte()) % count
    }

    /// Takes how many bytes a piece has.
    pub fn piece_bytes(&mut self) -> usize {
        [usize::MAX, 1, 2, 3, 7, 16, 125, 1000][self.one_of(8)]
    }
}
