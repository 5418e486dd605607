//! Ends a connection with which one call of another library takes too long: inside of a call OpenSSL goes on reading as
//! long as a peer sends what it passes over, such as KeyUpdate of TLS 1.3.

use std::os::fd::RawFd;
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread::{self, ThreadId};
use std::time::Duration;

use nix::sys::signal::SigSet;
use nix::sys::socket::{shutdown, Shutdown};
use nix::time::{clock_gettime, ClockId};
use nix::unistd::gettid;

const TICK: Duration = Duration::from_millis(20);
// Of the thread that calls: neither a machine nor a process with much else to do ends anything.
const MOST_CPU_SECONDS: f64 = 0.1;
const IDLE_TICKS: u32 = 50;
// A child of fork has no such thread, and may find the lock taken for ever.
const MOST_TRIES: u32 = 1000;

struct Watch {
    fd: RawFd,
    caller: Option<ThreadId>,
    // Processor time of the caller.
    clock: i32,
    // Tells one call from the next.
    calls: u64,
    has_thread: bool,
}

static WATCH: Mutex<Watch> = Mutex::new(Watch { fd: -1, caller: None, clock: 0, calls: 0, has_thread: false });

// As pthread_getcpuclockid of Linux makes it.
const CLOCK_OF_A_THREAD: i32 = 6;

thread_local! {
    static CLOCK: i32 = !gettid().as_raw() << 3 | CLOCK_OF_A_THREAD;
}

// 0 for a thread that has ended.
fn cpu_seconds(clock: i32) -> f64 {
    clock_gettime(ClockId::from_raw(clock)).map_or(0.0, |time| Duration::from(time).as_secs_f64())
}

// Ends where no call has come for a while.
fn work() {
    // Signals are for Lua's own thread.
    let _ = SigSet::all().thread_block();
    let (mut seen, mut since, mut idle) = (0, 0.0, 0);
    while idle < IDLE_TICKS {
        thread::sleep(TICK);
        let watch = WATCH.lock().unwrap_or_else(PoisonError::into_inner);
        if watch.calls != seen {
            (seen, since, idle) = (watch.calls, cpu_seconds(watch.clock), 0);
        } else if watch.fd < 0 {
            idle += 1;
        } else if cpu_seconds(watch.clock) - since > MOST_CPU_SECONDS {
            // With the lock: nobody else has got the number meanwhile. More bytes are answered with a reset.
            let _ = shutdown(watch.fd, Shutdown::Both);
        }
    }
    WATCH.lock().unwrap_or_else(PoisonError::into_inner).has_thread = false;
}

fn try_lock() -> Option<MutexGuard<'static, Watch>> {
    for _ in 0..MOST_TRIES {
        match WATCH.try_lock() {
            Ok(watch) => return Some(watch),
            Err(TryLockError::Poisoned(error)) => return Some(error.into_inner()),
            Err(TryLockError::WouldBlock) => thread::yield_now(),
        }
    }
    None
}

/// Begins a call with a socket, which is not closed before `end`.
pub fn begin(fd: RawFd) {
    let caller = Some(thread::current().id());
    let Some(mut watch) = try_lock() else { return };
    // One call at a time: those of other threads are not watched meanwhile.
    if watch.fd >= 0 && watch.caller != caller {
        return;
    }
    watch.fd = fd;
    watch.caller = caller;
    watch.clock = CLOCK.with(|clock| *clock);
    watch.calls += 1;
    if !watch.has_thread {
        watch.has_thread = thread::Builder::new().spawn(work).is_ok();
    }
}

/// Ends the call of this thread.
pub fn end() {
    let caller = Some(thread::current().id());
    if let Some(mut watch) = try_lock() {
        if watch.caller == caller {
            watch.fd = -1;
        }
    }
}
