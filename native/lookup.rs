//! Host names, looked up in threads of their own: the system may take seconds to answer.

use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};
use std::{collections::VecDeque, net::ToSocketAddrs, os::unix::net::UnixStream, thread};

use nix::sys::signal::SigSet;
use rustix::net::{recv, send, RecvFlags, SendFlags};

const MAX_THREADS: usize = 8;

struct Desk {
    waiting: VecDeque<(String, OwnedFd)>,
    threads: usize,
}

static DESK: Mutex<Desk> = Mutex::new(Desk { waiting: VecDeque::new(), threads: 0 });

// One address and port a line, or what failed.
fn answer(name: &str) -> String {
    match (name, 0).to_socket_addrs() {
        Ok(addresses) => addresses.map(|address| format!("{address}\n")).collect(),
        Err(error) => error.to_string(),
    }
}

fn work() {
    // Signals are for Lua's own thread: its handlers use its state. Where they cannot be blocked, a look-up is as
    // before.
    let _ = SigSet::all().thread_block();
    loop {
        let mut desk = DESK.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((name, asker)) = desk.waiting.pop_front() else {
            desk.threads -= 1;
            return;
        };
        drop(desk);
        // An asker that has closed its end in the meantime needs no answer.
        if !matches!(recv(&asker, &mut [0], RecvFlags::DONTWAIT), Ok((_, 0))) {
            // It may close its end just now, too.
            let _ = send(&asker, answer(&name).as_bytes(), SendFlags::NOSIGNAL | SendFlags::DONTWAIT);
        }
    }
}

/// Looks up a name. Gives a socket that receives one address and port a line, or what failed, and then ends; `None`
/// where there are no descriptors or threads left.
pub fn look_up(name: &str) -> Option<OwnedFd> {
    let (ours, theirs) = UnixStream::pair().ok()?;
    let mut desk = DESK.lock().unwrap_or_else(PoisonError::into_inner);
    if desk.threads < MAX_THREADS && thread::Builder::new().spawn(work).is_ok() {
        desk.threads += 1;
    }
    if desk.threads == 0 {
        return None;
    }
    desk.waiting.push_back((name.to_owned(), theirs.into()));
    Some(ours.into())
}
