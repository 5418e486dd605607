//! Which errors end a connection, and which make accepting rest.

use super::*;

#[test]
fn what_is_tried_again_is_a_timeout_and_a_lost_connection_is_closed() {
    assert_eq!(word(Errno::AGAIN), "timeout");
    assert_eq!(word(Errno::INTR), "timeout");
    assert_eq!(word(Errno::PIPE), "closed");
    assert_eq!(word(Errno::CONNRESET), "closed");
    assert_eq!(word(Errno::TIMEDOUT), "reset");
}

#[test]
fn accepting_goes_on_after_a_lost_connection() {
    assert_eq!(accept_word(Errno::AGAIN), "timeout");
    for error in [Errno::CONNABORTED, Errno::PROTO, Errno::INTR, Errno::NETDOWN, Errno::HOSTUNREACH] {
        assert_eq!(accept_word(error), "closed", "{error}");
    }
}

#[test]
fn accepting_rests_after_any_other_error() {
    for error in [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::NOBUFS, Errno::PERM, Errno::INVAL, Errno::BADF] {
        assert!(!["timeout", "closed", "reset"].contains(&accept_word(error)), "{error}");
    }
}

#[test]
fn dialling_fails_in_the_words_of_luasocket() {
    assert_eq!(dial_word(Errno::CONNREFUSED), "connection refused");
    assert_eq!(dial_word(Errno::TIMEDOUT), "timeout");
    assert_eq!(dial_word(Errno::NETUNREACH), "Network is unreachable");
    assert_eq!(dial_word(Errno::HOSTUNREACH), "No route to host");
    assert_eq!(dial_word(Errno::MFILE), "Too many open files");
}
