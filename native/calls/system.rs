//! What pure Lua cannot ask the operating system.

use std::net::IpAddr;
use std::os::fd::IntoRawFd;
use std::sync::LazyLock;
use std::time::Instant;

use nix::unistd::{self, Gid, Uid};
use rustix::fs;
use rustix::io::{fcntl_setfd, ioctl_fionbio, FdFlags};

use crate::lookup;
use crate::lua::{attempt, functions, unsent_bytes, Answer, Functions, Lua};
use crate::watchdog;

/// What it gives to Lua.
pub const FUNCTIONS: Functions =
    functions! { now file_facts link_target set_mode drop_privileges interface_address look_up set_flags unsent watch };

/// `now() -> seconds` from an arbitrary start, never less than before
fn now(_: &Lua) -> Option<f64> {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    let elapsed = START.elapsed();
    // A power of two as the unit: adding whole seconds then never rounds.
    let parts = (u64::from(elapsed.subsec_nanos()) << 20) / 1_000_000_000;
    Some(elapsed.as_secs() as f64 + parts as f64 / f64::from(1 << 20))
}

/// `file_facts(path, is_link) -> kind, size, mtime, inode, device`, or nil: the four bits of its kind, bytes, the time
/// of the last change in seconds. `is_link` asks for a symbolic link itself.
fn file_facts(lua: &Lua) -> Option<impl Answer> {
    let look = if lua.arg(2).boolean() { fs::lstat } else { fs::stat };
    let Ok(facts) = attempt(|| look(lua.arg(1).bytes()))? else { return Some(None) };
    let kind = facts.st_mode as usize >> 12;
    let time = facts.st_mtime as f64 + facts.st_mtime_nsec as f64 / 1e9;
    Some(Some((kind, facts.st_size as usize, time, facts.st_ino as usize, facts.st_dev as usize)))
}

/// `link_target(path) -> path`: where a symbolic link points; or nil
fn link_target(lua: &Lua) -> Option<impl Answer> {
    attempt(|| {
        let target = fs::readlink(lua.arg(1).bytes(), []).ok()?;
        Some(target.into_bytes())
    })
}

/// `set_mode(path, mode) -> done`: sets the permissions of a file
fn set_mode(lua: &Lua) -> Option<bool> {
    let mode = fs::Mode::from_raw_mode(lua.arg(2).number() as u32);
    attempt(|| fs::chmod(lua.arg(1).bytes(), mode).is_ok())
}

/// `drop_privileges(gid, uid) -> true`, or nil and which failed; -1 leaves one as it is
fn drop_privileges(lua: &Lua) -> Option<impl Answer> {
    let gid = u32::try_from(lua.arg(1).number() as i64);
    let uid = u32::try_from(lua.arg(2).number() as i64);
    attempt(|| {
        if let Ok(gid) = gid {
            set_group(Gid::from_raw(gid)).map_err(|_| "gid")?;
        }
        if let Ok(uid) = uid {
            unistd::setuid(Uid::from_raw(uid)).map_err(|_| "uid")?;
        }
        Ok::<_, &str>(true)
    })
}

fn set_group(gid: Gid) -> nix::Result<()> {
    unistd::setgroups(&[gid])?;
    unistd::setgid(gid)
}

/// `interface_address(name) -> address`: the IP address of a network interface, IPv4 where it has one; or nil
fn interface_address(lua: &Lua) -> Option<impl Answer> {
    attempt(|| {
        let address = address_of(lua.arg(1).bytes())?;
        Some(address.to_string().into_bytes())
    })
}

fn address_of(name: &[u8]) -> Option<IpAddr> {
    let mut found = None;
    for interface in nix::ifaddrs::getifaddrs().ok()? {
        let Some(address) = interface.address else { continue };
        if interface.interface_name.as_bytes() != name {
            continue;
        }
        if let Some(four) = address.as_sockaddr_in() {
            return Some(four.ip().into());
        }
        if let Some(six) = address.as_sockaddr_in6() {
            // A link-local address says nothing without its scope.
            if found.is_none() && !six.ip().is_unicast_link_local() {
                found = Some(six.ip().into());
            }
        }
    }
    found
}

/// `look_up(name) -> fd`: a socket that gives one address and port a line, or what failed, and then ends; nil where
/// there are no descriptors or threads left
fn look_up(lua: &Lua) -> Option<Option<i32>> {
    attempt(|| {
        let name = String::from_utf8_lossy(lua.arg(1).bytes());
        lookup::look_up(&name).map(IntoRawFd::into_raw_fd)
    })
}

/// `set_flags(fd, never_blocks, closes_on_exec) -> done`: sets those that are true on a descriptor
fn set_flags(lua: &Lua) -> Option<bool> {
    let Some(fd) = lua.arg(1).fd() else { return Some(false) };
    let (never_blocks, closes_on_exec) = (lua.arg(2).boolean(), lua.arg(3).boolean());
    attempt(|| {
        let can_wait = never_blocks && ioctl_fionbio(fd, true).is_err();
        let stays_open = closes_on_exec && fcntl_setfd(fd, FdFlags::CLOEXEC).is_err();
        !can_wait && !stays_open
    })
}

/// `unsent(fd) -> bytes` that the system holds and the other side has not acknowledged; nil where it does not tell
fn unsent(lua: &Lua) -> Option<Option<usize>> {
    attempt(|| lua.arg(1).fd().and_then(unsent_bytes))
}

/// `watch(fd) -> true`: a call with this socket begins; below 0: it has ended
fn watch(lua: &Lua) -> Option<bool> {
    let fd = lua.arg(1).number() as i32;
    attempt(|| if fd < 0 { watchdog::end() } else { watchdog::begin(fd) })?;
    Some(true)
}
