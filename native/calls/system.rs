//! What pure Lua cannot ask the operating system.

use std::sync::LazyLock;
use std::time::Instant;

use nix::unistd::{self, Gid, Uid};
use rustix::fs;

use crate::lua::{Answer, Lua};

/// `now()`: seconds from an arbitrary start, never less than before.
pub fn now(_: &Lua) -> Option<f64> {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    let elapsed = START.elapsed();
    // A power of two as the unit: adding whole seconds then never rounds.
    let parts = (u64::from(elapsed.subsec_nanos()) << 20) / 1_000_000_000;
    Some(elapsed.as_secs() as f64 + parts as f64 / f64::from(1 << 20))
}

/// `file_facts(path, is_link)`: the four bits of its kind, size, time of the last change in seconds, inode, device; or
/// nil. `is_link` asks for a symbolic link itself.
pub fn file_facts(lua: &Lua) -> Option<impl Answer> {
    let look = if lua.boolean(2) { fs::lstat } else { fs::stat };
    let found = lua.attempt(|| look(lua.bytes(1)))?.ok();
    Some(found.map(|facts| {
        let time = facts.st_mtime as f64 + facts.st_mtime_nsec as f64 / 1e9;
        ((facts.st_mode as usize >> 12, facts.st_size as usize, time), (facts.st_ino as usize, facts.st_dev as usize))
    }))
}

/// `link_target(path)`: where a symbolic link points; or nil.
pub fn link_target(lua: &Lua) -> Option<impl Answer> {
    lua.build(|target| {
        target.extend_from_slice(fs::readlink(lua.bytes(1), []).map_err(drop)?.as_bytes());
        Ok::<_, ()>(())
    })
}

fn drop_to(gid: i64, uid: i64) -> Result<(), &'static str> {
    if let Ok(gid) = u32::try_from(gid) {
        let gid = Gid::from_raw(gid);
        unistd::setgroups(&[gid]).and_then(|()| unistd::setgid(gid)).map_err(|_| "gid")?;
    }
    if let Ok(uid) = u32::try_from(uid) {
        unistd::setuid(Uid::from_raw(uid)).map_err(|_| "uid")?;
    }
    Ok(())
}

/// `drop_privileges(gid, uid)`: true, or nil and which failed; -1 leaves one as it is.
pub fn drop_privileges(lua: &Lua) -> Option<impl Answer> {
    lua.attempt(|| drop_to(lua.integer(1), lua.integer(2)).map(|()| true))
}

fn address_of(name: &[u8]) -> Option<String> {
    let mut found = None;
    for interface in nix::ifaddrs::getifaddrs().ok()? {
        if interface.interface_name.as_bytes() != name {
            continue;
        }
        let Some(address) = interface.address else { continue };
        if let Some(four) = address.as_sockaddr_in() {
            return Some(four.ip().to_string());
        }
        // A link-local address says nothing without its scope.
        let six = address.as_sockaddr_in6().filter(|six| !six.ip().is_unicast_link_local());
        found = found.or(six.map(|six| six.ip().to_string()));
    }
    found
}

/// `interface_address(name)`: the IP address of a network interface, IPv4 where it has one; or nil.
pub fn interface_address(lua: &Lua) -> Option<impl Answer> {
    lua.build(|target| {
        target.extend_from_slice(address_of(lua.bytes(1)).ok_or(())?.as_bytes());
        Ok::<_, ()>(())
    })
}
