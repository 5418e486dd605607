//! The measured part of a run: warm up, then count messages and processor time between two moments.

use crate::process::cpu_ns;
use crate::Result;
use std::time::{Duration, Instant};

/// A window that is too slow for a fair count goes on until this many messages have come.
const FEWEST_MESSAGES: u64 = 12;
const LONGEST_STRETCH: u32 = 6;

/// How long to run, and which process to watch.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// The server's process.
    pub pid: u32,
    /// Time before the window opens.
    pub warm_up: Duration,
    /// Length of the window.
    pub length: Duration,
}

#[derive(Debug, Clone, Copy)]
struct Sample {
    at: Instant,
    messages: u64,
    server_ns: u64,
    own_ns: u64,
}

impl Sample {
    fn take(pid: u32, messages: u64, idle_ns: u64) -> Result<Self> {
        let (server_ns, own_ns) = (cpu_ns(pid)?, cpu_ns(std::process::id())?.saturating_sub(idle_ns));
        Ok(Self { at: Instant::now(), messages, server_ns, own_ns })
    }
}

/// What a window has shown.
#[derive(Debug, Clone, Copy)]
pub struct Measured {
    /// Messages inside the window.
    pub messages: u64,
    /// Its length in seconds.
    pub seconds: f64,
    /// Processor time of the server inside it, in nanoseconds.
    pub server_ns: u64,
    /// Processor time of this program inside it without idle polling, in nanoseconds.
    pub own_ns: u64,
}

impl Measured {
    /// Gives the members of a JSON object.
    #[must_use]
    pub fn json(&self) -> String {
        let (messages, ns) = (self.messages as f64, self.seconds * 1e9);
        format!(
            "\"messages\": {}, \"seconds\": {:.3}, \"per_second\": {:.0}, \"server_us\": {:.4}, \
             \"server_busy\": {:.3}, \"generator_busy\": {:.3}",
            self.messages,
            self.seconds,
            messages / self.seconds,
            self.server_ns as f64 / messages / 1e3,
            self.server_ns as f64 / ns,
            self.own_ns as f64 / ns
        )
    }
}

/// A window in time, asked after each turn whether it is over.
#[derive(Debug)]
pub struct Window {
    plan: Plan,
    opens: Instant,
    start: Option<Sample>,
}

impl Window {
    /// Begins the warm-up.
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        Self { plan, opens: Instant::now() + plan.warm_up, start: None }
    }

    /// Takes the number of messages and the time spent idly polling so far; gives the result once the window is over.
    ///
    /// # Errors
    /// The server's process is gone.
    pub fn tick(&mut self, messages: u64, idle_ns: u64) -> Result<Option<Measured>> {
        let now = Instant::now();
        let Some(start) = self.start else {
            if now >= self.opens && messages > 0 {
                self.start = Some(Sample::take(self.plan.pid, messages, idle_ns)?);
            }
            return Ok(None);
        };
        let (elapsed, count) = (now - start.at, messages - start.messages);
        let enough = count >= FEWEST_MESSAGES || elapsed > self.plan.length * LONGEST_STRETCH;
        if elapsed < self.plan.length || !enough {
            return Ok(None);
        }
        if count == 0 {
            return Err("no message came in time".into());
        }
        let end = Sample::take(self.plan.pid, messages, idle_ns)?;
        Ok(Some(Measured {
            messages: count,
            seconds: (end.at - start.at).as_secs_f64(),
            server_ns: end.server_ns - start.server_ns,
            own_ns: end.own_ns.saturating_sub(start.own_ns),
        }))
    }
}
