//! Host names, looked up beside the loop: the system may take seconds to answer.

use std::os::fd::{IntoRawFd, OwnedFd};
use std::sync::{Mutex, PoisonError};
use std::{collections::VecDeque, net::ToSocketAddrs, os::unix::net::UnixStream, thread};

use nix::sys::signal::SigSet;
use rustix::net::{recv, send, RecvFlags, SendFlags};

use crate::lua::{functions, Functions, Lua};

const MAX_THREADS: usize = 8;

/// What it gives to Lua.
pub const FUNCTIONS: Functions = functions! { look_up };

struct Desk {
    waiting: VecDeque<(String, OwnedFd)>,
    threads: usize,
}

static DESK: Mutex<Desk> = Mutex::new(Desk { waiting: VecDeque::new(), threads: 0 });

fn work() {
    // Signals are for Lua's own thread: its handlers touch its state.
    let _ = SigSet::all().thread_block();
    loop {
        let mut desk = DESK.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((name, asker)) = desk.waiting.pop_front() else {
            desk.threads -= 1;
            return;
        };
        drop(desk);
        // Who has given up in the meantime needs no answer.
        if !matches!(recv(&asker, &mut [0], RecvFlags::DONTWAIT), Ok((_, 0))) {
            let found = (&*name, 0).to_socket_addrs().map(|all| all.map(|address| format!("{address}\n")).collect());
            let answer = found.unwrap_or_else(|error| error.to_string());
            let _ = send(&asker, answer.as_bytes(), SendFlags::NOSIGNAL | SendFlags::DONTWAIT);
        }
    }
}

/// `look_up(name)`: a socket that gives an address and port a line, or what failed, and ends; nil where there are no
/// descriptors or threads left.
fn look_up(lua: &Lua) -> Option<Option<f64>> {
    lua.attempt(|| {
        let (ours, theirs) = UnixStream::pair().ok()?;
        let mut desk = DESK.lock().unwrap_or_else(PoisonError::into_inner);
        if desk.threads < MAX_THREADS && thread::Builder::new().spawn(work).is_ok() {
            desk.threads += 1;
        }
        (desk.threads > 0).then(|| {
            desk.waiting.push_back((String::from_utf8_lossy(lua.bytes(1)).into_owned(), theirs.into()));
            ours.into_raw_fd().into()
        })
    })
}
