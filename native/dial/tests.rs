//! Connecting over the loopback, and to a path.

use std::net::TcpListener;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::{env, fs, process};

use rustix::event::{poll, PollFd, PollFlags};

use super::*;

fn internet(text: &str) -> Address {
    Address::read(text.as_bytes(), false).expect("an address")
}

fn await_end(socket: &OwnedFd) -> Result<bool, Errno> {
    poll(&mut [PollFd::new(socket, PollFlags::OUT)], None).expect("poll");
    is_connected(socket)
}

#[test]
fn reads_addresses() {
    for text in ["127.0.0.1:80", "[::1]:80", "[fe80::1%2]:80"] {
        assert!(Address::read(text.as_bytes(), false).is_some(), "{text}");
    }
    for text in ["", "127.0.0.1", "::1:80", "localhost:80", "\u{ff}"] {
        assert!(Address::read(text.as_bytes(), false).is_none(), "{text}");
    }
    assert!(Address::read(&[b'x'; 200], true).is_none());
    assert!(Address::read(b"a\0b", true).is_none());
}

#[test]
fn connects_where_somebody_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let (socket, fault) = dial(&internet(&address)).expect("a socket");
    assert_eq!((fault, await_end(&socket)), (None, Ok(true)));
}

#[test]
fn tells_that_nobody_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    drop(listener);
    let (socket, fault) = dial(&internet(&address)).expect("a socket");
    let result = fault.map_or_else(|| await_end(&socket), Err);
    assert_eq!(result, Err(Errno::CONNREFUSED));
}

#[test]
fn takes_a_socket_that_is_connected_to_itself_for_refused() {
    let socket = open(AddressFamily::INET).expect("a socket");
    bind(&socket, &SocketAddr::from(([127, 0, 0, 1], 0))).expect("a port");
    let address = getsockname(&socket).expect("an address");
    assert_eq!(connect(&socket, &address), Err(Errno::INPROGRESS));
    assert_eq!(await_end(&socket), Err(Errno::CONNREFUSED));
    assert_eq!(getpeername(&socket), Ok(Some(address)));
}

#[test]
fn listens_at_a_path() {
    let path = env::temp_dir().join(format!("websockets-dial-{}", process::id()));
    let bytes = path.as_os_str().as_encoded_bytes();
    let address = || Address::read(bytes, true).expect("a path");
    assert_eq!(dial(&address()).expect("a socket").1, Some(Errno::NOENT));
    let listener = listen_at(bytes, Some(0o640)).expect("a listening socket");
    let facts = fs::metadata(&path).expect("a file");
    assert!(facts.file_type().is_socket());
    assert_eq!(facts.permissions().mode() & 0o777, 0o640);
    assert_eq!(listen_at(bytes, None).err(), Some(Errno::ADDRINUSE));
    let (socket, fault) = dial(&address()).expect("a socket");
    assert_eq!((fault, is_connected(&socket)), (None, Ok(true)));
    drop(listener);
    assert_eq!(dial(&address()).expect("a socket").1, Some(Errno::CONNREFUSED));
    fs::remove_file(&path).expect("the file");
}
