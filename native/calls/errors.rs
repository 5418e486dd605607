//! The words that Lua gets for errors of the system.

use rustix::io::Errno;

/// Gives the word for why a socket did not do what was asked.
pub fn word(error: Errno) -> &'static str {
    match error {
        Errno::AGAIN | Errno::INTR => "timeout",
        Errno::PIPE | Errno::CONNRESET => "closed",
        Errno::MFILE | Errno::NFILE => "too many open files",
        _ => "reset",
    }
}
