//! What is counted of the connections of one context: traffic, and how long its turns take.

use nix::time::{clock_gettime, ClockId};

use crate::protocol::{CLOSE, FINAL};

/// What has gone in one direction.
#[derive(Default)]
pub struct Traffic {
    /// Whole text and binary messages.
    pub messages: u64,
    /// Bytes of the sockets.
    pub bytes: u64,
}

impl Traffic {
    /// Counts a message when its last frame, with this first byte, has come or gone.
    pub fn count(&mut self, first: u8) {
        self.messages += u64::from(first >= FINAL && first & CLOSE == 0);
    }
}

/// How long turns take: from the end of a wait, or the first reading without one, to the last flush before the next.
#[derive(Default)]
pub struct Turns {
    /// Nanoseconds that the turns of a bucket take at most, ascending.
    pub bounds: Vec<u64>,
    /// How many turns there were for each bound, and last how many that took longer than all.
    pub counts: Vec<u64>,
    /// Nanoseconds of all turns.
    pub sum: u64,
    // When the present one began, and when it was seen to end.
    began: Option<u64>,
    ended: Option<u64>,
}

// Nanoseconds. It is asked twice in each turn, and `Instant` has more work to do.
fn now() -> u64 {
    clock_gettime(ClockId::CLOCK_MONOTONIC)
        .map_or(0, |time| time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64)
}

impl Turns {
    /// Begins a turn.
    pub fn begin(&mut self) {
        self.settle();
        self.began = Some(now());
    }

    /// Begins a turn where none is going on.
    pub fn begin_unless_begun(&mut self) {
        if self.began.is_none() || self.ended.is_some() {
            self.begin();
        }
    }

    /// Takes note that the turn ends now, unless this comes once more.
    pub fn mark(&mut self) {
        if self.began.is_some() {
            self.ended = Some(now());
        }
    }

    /// Counts the turn that has ended.
    pub fn settle(&mut self) {
        let (began, ended) = (self.began.take(), self.ended.take());
        let Some((began, ended)) = began.zip(ended) else { return };
        let nanoseconds = ended.saturating_sub(began);
        // Nearly always the first.
        let place = self.bounds.iter().position(|&bound| nanoseconds <= bound).unwrap_or(self.bounds.len());
        if let Some(count) = self.counts.get_mut(place) {
            *count += 1;
        }
        self.sum += nanoseconds;
    }
}

#[cfg(test)]
mod tests;
