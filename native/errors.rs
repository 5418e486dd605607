//! The words that Lua gets for errors of the system.

use rustix::io::Errno;

/// Gives the word for why a socket did not do what was asked.
pub fn word(error: Errno) -> &'static str {
    match error {
        Errno::AGAIN | Errno::INTR => "timeout",
        Errno::PIPE | Errno::CONNRESET => "closed",
        Errno::MFILE | Errno::NFILE => "too many open files",
        Errno::NOMEM | Errno::NOBUFS => "error",
        _ => "reset",
    }
}

/// Gives the word for why no connection was accepted: `timeout` where none is pending, `closed` where the next one may
/// be accepted, others where trying again at once would be in vain.
pub fn accept_word(error: Errno) -> &'static str {
    match error {
        Errno::AGAIN => "timeout",
        // The connection was lost, or its network, before it was accepted.
        Errno::INTR | Errno::CONNABORTED | Errno::CONNRESET | Errno::PROTO | Errno::NOPROTOOPT | Errno::OPNOTSUPP => {
            "closed"
        }
        Errno::NETDOWN | Errno::NETUNREACH | Errno::HOSTDOWN | Errno::HOSTUNREACH | Errno::NONET => "closed",
        Errno::MFILE | Errno::NFILE => word(error),
        Errno::NOMEM | Errno::NOBUFS => "out of memory",
        Errno::PERM => "operation not permitted",
        _ => "the system refuses",
    }
}

/// Gives the words for why a socket could not be opened, connected or bound, as LuaSocket has them.
pub fn dial_word(error: Errno) -> &'static str {
    match error {
        Errno::CONNREFUSED => "connection refused",
        Errno::TIMEDOUT => "timeout",
        Errno::CONNRESET | Errno::CONNABORTED | Errno::PIPE => "closed",
        Errno::ADDRINUSE => "address already in use",
        Errno::AGAIN => "too many connections wait there",
        _ => nix::errno::Errno::from_raw(error.raw_os_error()).desc(),
    }
}

#[cfg(test)]
mod tests;
