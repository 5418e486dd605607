//! What unfinished messages may hold together.

/// What holds less than this, or a small part of the limit, counts as little.
const LITTLE_BYTES: u64 = 1 << 12;
const PARTS: u64 = 1 << 10;

/// What all unfinished messages of a context hold. It refuses nothing: Lua decides which of them ends.
#[derive(Default)]
pub struct Budget {
    /// Bytes held.
    pub used: u64,
    /// Bytes that may be held.
    pub limit: u64,
}

impl Budget {
    /// Tells whether more is held than may be.
    pub fn is_passed(&self) -> bool {
        self.used > self.limit
    }

    /// Tells whether one holder has nothing, little, or so much that it can be ended to make room.
    pub fn level(&self, held: u64) -> u8 {
        u8::from(held > 0) + u8::from(held > LITTLE_BYTES.min(self.limit / PARTS))
    }
}
