//! An answer that is of one kind or another.

use std::ffi::c_int;

use super::answer::{Answer, Room};

/// One of two answers.
#[derive(Clone, Copy)]
pub enum Either<A, B> {
    /// The first kind.
    One(A),
    /// The second kind.
    Other(B),
}

// SAFETY: either case is as many values as it has.
unsafe impl<A: Answer, B: Answer> Answer for Either<A, B> {
    const COUNT: usize = A::COUNT + B::COUNT;

    #[inline]
    fn push(self, room: Room) -> c_int {
        match self {
            Either::One(answer) => answer.push(room),
            Either::Other(answer) => answer.push(room),
        }
    }
}
