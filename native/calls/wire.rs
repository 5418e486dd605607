//! Wires: the connections of a hub.

use std::mem::{self, ManuallyDrop};
use std::os::fd::IntoRawFd;
use std::{net::SocketAddr, rc::Rc};

use rustix::io::Errno;
use rustix::net::{getpeername, shutdown as shut_down, AddressFamily, Shutdown};

use super::collector::{make_room, LARGE_BYTES};
use super::engine;
use super::settings::{limits, rules};
use super::shared::{Shared, WireObject};
use crate::deflate::Codec;
use crate::dial::is_connected;
use crate::errors::{dial_word, word};
use crate::frame::Frame;
use crate::hub::Hub;
use crate::input::{deliver, Reading};
use crate::lua::{attempt, functions, Answer, Either, Functions, Lua};
use crate::memory;
use crate::output::{Output, Refusal, Wire};
use crate::protocol::{FINAL, TEXT};

/// From this size on a payload is sent from where it is.
const HELD_BYTES: usize = 4096;

/// What it gives to Lua.
pub const FUNCTIONS: Functions = functions! { fanout write };

/// The methods of wires.
pub const METHODS: Functions = functions! {
    connected receive raw begin read unfinished release direct heard push flush drop buffered watch peer getfd
    shutdown take_fd close
};

fn with_hub<R>(lua: &Lua, work: impl FnOnce(&mut Hub, i32) -> R) -> Option<R> {
    let wire = lua.arg(1).object::<WireObject>()?;
    wire.shared.with(lua, |hub| work(hub, wire.fd.get()))
}

// Works on the wire that is the first argument. Gives the default if the wire is closed.
fn with<R: Default>(lua: &Lua, work: impl FnOnce(&mut Wire, &mut Output) -> R) -> Option<R> {
    with_hub(lua, |hub, fd| hub.with(fd, work))
}

/// `wire:connected() -> boolean`, or nil and why connecting failed: false while it is not decided yet
fn connected(lua: &Lua) -> Option<Result<bool, &'static str>> {
    let result = with(lua, |wire, _| Some(is_connected(&wire.fd)))?;
    Some(result.unwrap_or(Err(Errno::PIPE)).map_err(dial_word))
}

/// `wire:receive() -> bytes, again`, or nil and why not: what has come, unread, and whether more may be here already
fn receive(lua: &Lua) -> Option<impl Answer> {
    Some(with_hub(lua, Hub::receive)?.map_err(word))
}

/// `wire:begin{is_server, max_message_bytes, max_fragments, window_bits, no_context_takeover, leftover,
/// high_water_bytes, max_buffered_bytes, codec}`: the HTTP phase is over, and messages follow
fn begin(lua: &Lua) -> Option<()> {
    let settings = lua.arg(2).table()?;
    let rules = rules(settings)?;
    let limits = limits(settings)?;
    let [leftover, codec] = settings.fields([c"leftover", c"codec"])?;
    with(lua, |wire, _| wire.start(rules, leftover.bytes(), limits, codec.object::<Codec>().cloned()))
}

/// `wire:read(batch) -> count, again`, or nil and why not: fills `batch` with pairs of opcode and payload. `again`
/// tells whether more may be here already; it is 0 where Lua is to ask `unfinished`
fn read(lua: &Lua) -> Option<impl Answer> {
    let wire = lua.arg(1).object::<WireObject>()?;
    let batch = lua.arg(2).table()?;
    with_hub(lua, |hub, _| hub.begin_batch())?;
    let delivered = deliver(
        |delivery| wire.shared.hub.borrow_mut().read(wire.fd.get(), delivery),
        |index, opcode, payload| engine::put(lua, batch, index, opcode, payload),
    )?;
    with_hub(lua, |hub, _| hub.end_batch())?;
    if delivered.largest >= LARGE_BYTES {
        make_room(lua)?;
    }
    let Reading { result, has_news } = delivered.result;
    Some(match result {
        Ok(false) | Err(Errno::AGAIN | Errno::INTR) if has_news => Ok((delivered.count, Either::One(0_usize))),
        _ => result.map(|again| (delivered.count, Either::Other(again))).map_err(word),
    })
}

/// `wire:unfinished() -> held, progress`, of the message that is not whole yet: the bytes of memory that it holds, and
/// how far it has come
fn unfinished(lua: &Lua) -> Option<impl Answer> {
    let (held, progress) = with_hub(lua, Hub::unfinished)?;
    Some((held as f64, progress as f64))
}

/// `wire:release()`: stops reading messages for good, and frees what the unfinished one holds
fn release(lua: &Lua) -> Option<()> {
    with_hub(lua, Hub::release)
}

/// `wire:direct(is_on)`: sets whether `hub:read` reads its messages, in place of `wire:read`
fn direct(lua: &Lua) -> Option<()> {
    with(lua, |wire, _| wire.incoming.is_direct = lua.arg(2).boolean())
}

/// `wire:heard() -> boolean`: whether bytes have come since this was asked last
fn heard(lua: &Lua) -> Option<bool> {
    with(lua, |wire, _| mem::take(&mut wire.incoming.has_heard))
}

/// `wire:raw(bytes)`: queues bytes as they are
fn raw(lua: &Lua) -> Option<()> {
    let bytes = lua.arg(2).bytes();
    if bytes.len() < HELD_BYTES {
        return with(lua, |wire, output| output.append(wire, bytes.len(), |target| target.extend_from_slice(bytes)));
    }
    let wire = lua.arg(1).object::<WireObject>()?;
    let payload = lua.arg(2).anchor(&wire.shared.spent);
    with(lua, |wire, output| output.hold(wire, Vec::new(), Box::new(payload)))
}

/// `wire:push(opcode, payload, fin, plain) -> true`, or nil and why not: queues a frame
fn push(lua: &Lua) -> Option<Result<bool, Refusal>> {
    let Some(frame) = engine::frame(lua) else { return Some(Err("type")) };
    let may_hold = |wire: &mut Wire, _: &mut Output| {
        let may_compress = frame.is_compressible && wire.out.codec.is_some();
        !wire.out.is_client && !may_compress
    };
    let refusal = if frame.payload.len() >= HELD_BYTES && with(lua, may_hold)? {
        let wire = lua.arg(1).object::<WireObject>()?;
        let payload = lua.arg(3).anchor(&wire.shared.spent);
        with(lua, |wire, output| output.push_held(wire, frame.first, Box::new(payload)))?
    } else {
        with(lua, |wire, output| output.push(wire, frame))?
    };
    Some(refusal.map_or(Ok(true), Err))
}

/// `wire:flush() -> pending, took`, or nil and why it broke: sends what is queued as far as the socket takes it
fn flush(lua: &Lua) -> Option<impl Answer> {
    let report = with(lua, |wire, output| {
        wire.out.queue.is_blocked = false;
        output.send(wire);
        Some(wire.out.report())
    })?;
    Some(report.unwrap_or(Err(Errno::PIPE)).map_err(word))
}

/// `wire:drop(enough) -> bytes, messages`: drops messages of which nothing has been sent
fn drop(lua: &Lua) -> Option<(usize, usize)> {
    with(lua, |wire, output| output.drop_messages(wire, lua.arg(2).number() as usize))
}

/// `wire:buffered() -> bytes` that wait to be sent
fn buffered(lua: &Lua) -> Option<usize> {
    with(lua, |wire, _| wire.out.queue.size)
}

/// `wire:watch(write) -> boolean`: has the hub report it when bytes have come; with `write` also when it takes bytes
fn watch(lua: &Lua) -> Option<bool> {
    with_hub(lua, |hub, fd| hub.watch(fd, lua.arg(2).boolean()))
}

/// `wire:peer() -> address` of the peer: an IPv4 address inside IPv6 without `::ffff:`, `unix` for a unix socket, empty
/// if there is none
fn peer(lua: &Lua) -> Option<impl Answer> {
    let found = with(lua, |wire, _| getpeername(&wire.fd).ok()?)?;
    attempt(|| match found {
        Some(address) if address.address_family() == AddressFamily::UNIX => b"unix".to_vec(),
        Some(address) => SocketAddr::try_from(address)
            .map_or_else(|_| Vec::new(), |address| address.ip().to_canonical().to_string().into_bytes()),
        None => Vec::new(),
    })
}

/// `wire:getfd() -> fd`, -1 once closed
fn getfd(lua: &Lua) -> Option<i32> {
    Some(lua.arg(1).object::<WireObject>()?.fd.get())
}

/// `wire:shutdown() -> boolean`: ends the sending direction
fn shutdown(lua: &Lua) -> Option<bool> {
    with(lua, |wire, _| shut_down(&wire.fd, Shutdown::Write).is_ok())
}

/// `wire:take_fd() -> fd`, or nil: hands the descriptor over to the caller, who has to close it; the wire is closed
fn take_fd(lua: &Lua) -> Option<Option<i32>> {
    let fd = with_hub(lua, Hub::detach)?;
    lua.arg(1).object::<WireObject>()?.fd.set(-1);
    Some(fd.map(IntoRawFd::into_raw_fd))
}

/// `wire:close(linger)`: closes the socket. For `linger` seconds the system still tries to send what the peer has not
/// taken; 0 resets the connection
fn close(lua: &Lua) -> Option<()> {
    let linger = lua.arg(2);
    if linger.is_some() {
        with(lua, |wire, _| wire.set_linger(linger.number()))?;
    }
    with_hub(lua, |hub, fd| hub.close(fd))?;
    lua.arg(1).object::<WireObject>()?.fd.set(-1);
    Some(())
}

/// `write(wire, payload, kind) -> boolean`: the fast path for a small whole message within a turn. False: nothing was
/// queued, and Lua takes the longer way
fn write(lua: &Lua) -> Option<bool> {
    let kind = lua.arg(3);
    let opcode = if kind.is_number() {
        match kind.number() {
            0.0 => TEXT,
            1.0 => TEXT + 1,
            _ => return Some(false),
        }
    } else if kind.is_some() {
        return Some(false);
    } else {
        TEXT
    };
    let Some(payload) = lua.arg(2).string() else { return Some(false) };
    let Some(wire) = lua.arg(1).object::<WireObject>() else { return Some(false) };
    if payload.len() >= HELD_BYTES {
        return Some(false);
    }
    attempt(|| wire.write(Frame { first: FINAL | opcode, is_compressible: true, payload }))
}

/// `fanout(wires, count, opcode, payload, full, is_careful, but) -> count`: queues a message on many wires of one hub,
/// and fills `full` with the positions of wires that have no room; with `is_careful` also of those whose sockets take
/// nothing at the moment. Skips what is no wire, and the position `but`
fn fanout(lua: &Lua) -> Option<usize> {
    let wires = lua.arg(1).table()?;
    let count = lua.arg(2).number() as usize;
    let full = lua.arg(5).table()?;
    let first = FINAL | lua.arg(3).number() as u8;
    let frame = Frame { first, is_compressible: true, payload: lua.arg(4).bytes() };
    let is_careful = lua.arg(6).boolean();
    let but = (lua.arg(7).number() as usize).wrapping_sub(1);
    let positions = attempt(|| {
        let mut shared: Option<Rc<Shared>> = None;
        let mut fds: Vec<i32> = match memory::with_capacity(count) {
            Ok(fds) => fds,
            Err(lacking) => return Some(Err(lacking)),
        };
        wires.each(count, |wire| {
            // A wire of another hub has no descriptor here.
            let fd_of = |wire: &WireObject| {
                let hub = shared.get_or_insert_with(|| Rc::clone(&wire.shared));
                Rc::ptr_eq(&wire.shared, hub).then(|| wire.fd.get())
            };
            fds.push(wire.object().and_then(fd_of).unwrap_or(-1));
        })?;
        if let Some(fd) = fds.get_mut(but) {
            *fd = -1;
        }
        Some(shared.map_or(Ok(Vec::new()), |shared| shared.hub.borrow_mut().fan_out(&fds, frame, is_careful)))
    })??;
    // Writing to a Lua table may raise, which would skip destructors: nothing here may need one.
    let positions = ManuallyDrop::new(lua.expect(positions)?);
    for (index, position) in positions.iter().enumerate() {
        full.set(index + 1, *position);
    }
    Some(ManuallyDrop::into_inner(positions).len())
}
