//! Host names, looked up beside the loop: the system may take seconds to answer.

use std::collections::VecDeque;
use std::net::ToSocketAddrs;
use std::os::fd::{IntoRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use nix::sys::signal::SigSet;
use rustix::io::Errno;

use crate::lua::{functions, Functions, Lua};
use crate::net;

const MAX_THREADS: usize = 8;

/// What it gives to Lua.
pub const FUNCTIONS: Functions = functions! { look_up };

struct Desk {
    waiting: VecDeque<(String, OwnedFd)>,
    threads: usize,
}

static DESK: Mutex<Desk> = Mutex::new(Desk { waiting: VecDeque::new(), threads: 0 });

fn desk() -> MutexGuard<'static, Desk> {
    DESK.lock().unwrap_or_else(PoisonError::into_inner)
}

fn next() -> Option<(String, OwnedFd)> {
    let mut desk = desk();
    let next = desk.waiting.pop_front();
    desk.threads -= usize::from(next.is_none());
    next
}

fn answer(name: &str) -> String {
    match (name, 0).to_socket_addrs() {
        Ok(found) => found.map(|address| format!("{address}\n")).collect(),
        Err(error) => error.to_string(),
    }
}

fn work() {
    // Signals are for Lua's own thread: its handlers touch its state.
    let _ = SigSet::all().thread_block();
    while let Some((name, asker)) = next() {
        // Who has given up in the meantime needs no answer.
        if net::receive(&asker, &mut [0][..]) != Err(Errno::PIPE) {
            let _ = net::send(&asker, answer(&name).as_bytes());
        }
    }
}

/// `look_up(name)`: a socket that gives an address and port a line, or what failed, and ends; nil where there are no
/// descriptors or threads left.
fn look_up(lua: &Lua) -> Option<Option<f64>> {
    lua.attempt(|| {
        let (ours, theirs) = UnixStream::pair().ok()?;
        let mut desk = desk();
        if desk.threads < MAX_THREADS && thread::Builder::new().spawn(work).is_ok() {
            desk.threads += 1;
        }
        if desk.threads == 0 {
            return None;
        }
        desk.waiting.push_back((String::from_utf8_lossy(lua.bytes(1)).into_owned(), theirs.into()));
        Some(ours.into_raw_fd().into())
    })
}
