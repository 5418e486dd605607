//! What pure Lua cannot ask the operating system.

use std::{net::IpAddr, sync::LazyLock, time::Instant};

use nix::unistd::{self, Gid, Uid};
use rustix::fs;

use crate::lua::{functions, Answer, Functions, Lua};

/// What it gives to Lua.
pub const FUNCTIONS: Functions = functions! { now file_facts link_target drop_privileges interface_address };

/// `now()`: seconds from an arbitrary start, never less than before.
fn now(_: &Lua) -> Option<f64> {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    let elapsed = START.elapsed();
    // A power of two as the unit: adding whole seconds then never rounds.
    let parts = (u64::from(elapsed.subsec_nanos()) << 20) / 1_000_000_000;
    Some(elapsed.as_secs() as f64 + parts as f64 / f64::from(1 << 20))
}

/// `file_facts(path, is_link)`: the four bits of its kind, size, time of the last change in seconds, inode, device; or
/// nil. `is_link` asks for a symbolic link itself.
fn file_facts(lua: &Lua) -> Option<impl Answer> {
    let look = if lua.boolean(2) { fs::lstat } else { fs::stat };
    let found = lua.attempt(|| look(lua.bytes(1)))?.ok();
    Some(found.map(|facts| {
        let time = facts.st_mtime as f64 + facts.st_mtime_nsec as f64 / 1e9;
        (((facts.st_mode as usize >> 12, facts.st_size as usize), time), (facts.st_ino as usize, facts.st_dev as usize))
    }))
}

/// `link_target(path)`: where a symbolic link points; or nil.
fn link_target(lua: &Lua) -> Option<impl Answer> {
    lua.attempt(|| Some(fs::readlink(lua.bytes(1), []).ok()?.into_bytes()))
}

/// `drop_privileges(gid, uid)`: true, or nil and which failed; -1 leaves one as it is.
fn drop_privileges(lua: &Lua) -> Option<impl Answer> {
    lua.attempt(|| {
        if let Ok(gid) = u32::try_from(lua.number(1) as i64) {
            let gid = Gid::from_raw(gid);
            unistd::setgroups(&[gid]).and_then(|()| unistd::setgid(gid)).map_err(|_| "gid")?;
        }
        if let Ok(uid) = u32::try_from(lua.number(2) as i64) {
            unistd::setuid(Uid::from_raw(uid)).map_err(|_| "uid")?;
        }
        Ok::<_, &str>(true)
    })
}

/// `interface_address(name)`: the IP address of a network interface, IPv4 where it has one; or nil.
fn interface_address(lua: &Lua) -> Option<impl Answer> {
    lua.attempt(|| Some(address_of(lua.bytes(1))?.to_string().into_bytes()))
}

fn address_of(name: &[u8]) -> Option<IpAddr> {
    let named = nix::ifaddrs::getifaddrs().ok()?.filter(|interface| interface.interface_name.as_bytes() == name);
    let addresses = named.filter_map(|interface| {
        let address = interface.address?;
        let six = address.as_sockaddr_in6().map(|six| six.ip().into());
        address.as_sockaddr_in().map(|four| four.ip().into()).or(six)
    });
    // A link-local address says nothing without its scope.
    let known = addresses.filter(|ip| !matches!(ip, IpAddr::V6(six) if six.is_unicast_link_local()));
    known.min_by_key(IpAddr::is_ipv6)
}
