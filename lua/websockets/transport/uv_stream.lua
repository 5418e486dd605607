--- Bytes in and out of a stream of libuv. libuv calls us: what it reads waits in an inbox until it is received, and
-- what it has been given to write is sent once it says so.
--
-- Beside the interface of a transport it has what `websockets.poller.uv` needs: `watch`, `is_readable`, `is_writable`.
-- @module websockets.transport.uv_stream
local address_of = require("websockets.transport.address")
local errors = require("websockets.transport.uv_errors")
local libuv = require("websockets.transport.libuv")

local sub = string.sub

local stream = {
  --- libuv has begun to write what it was offered: the same bytes come again until they are taken.
  keeps_offer = true,
}
stream.__index = stream

-- libuv reads this much at once. A full piece means that more may be there, which it would go on to read.
local CHUNK_BYTES = 65536
-- So much is offered at a time: a string that is sent in part is copied for each part.
local OFFER_BYTES = 4 * CHUNK_BYTES
-- How long a connection that is turned away may take to read why.
local FAREWELL_MS = 2000

--- Wraps a stream of libuv.
-- @tparam userdata handle
-- @tparam string kind "tcp" or "unix"
-- @treturn stream
function stream.wrap(handle, kind)
  return setmetatable({
    handle = handle, kind = kind, fd = handle:fileno() or -1,
    -- The poller that has the owner reported, and what it is watched for.
    poller = false, owner = false, reads = false, writes = false, is_marked = false,
    -- What has been read; why no more comes; whether libuv reads.
    inbox = {}, first = 1, last = 0, ended = false, is_reading = false,
    -- Until it is connected, or for ever where it never is; why it cannot be; why it cannot send any more.
    is_connecting = false, trouble = false, broken = false,
    -- Bytes that libuv writes, and those that it has written since.
    writing = 0, written = 0,
    on_read = false, on_written = false, request = false,
  }, stream)
end

--- Tells whether something is a stream already.
-- @param value
-- @treturn boolean
function stream.is(value)
  return getmetatable(value) == stream
end

local function mark(self)
  if self.poller then self.poller:mark(self) end
end

local function stop_reading(self)
  if self.is_reading then self.handle:read_stop() end
  self.is_reading = false
end

local function note_read(self, why, bytes)
  if bytes then
    -- Bytes for which there is no memory are missing: the connection is over.
    if self.ended then return mark(self) end
    local last = self.last + 1
    self.ended = "reset"
    self.inbox[last] = bytes
    self.last, self.ended = last, false
    if #bytes == CHUNK_BYTES or self.last > self.first then stop_reading(self) end
  else
    self.ended, self.is_reading = why and errors.end_of(why) or "closed", false
  end
  mark(self)
end

local function start_reading(self)
  if self.is_reading or self.is_connecting or self.ended or self.last > 0 or not self.handle then return end
  self.on_read = self.on_read or function(why, bytes) note_read(self, why, bytes) end
  local is_begun, why = self.handle:read_start(self.on_read)
  self.is_reading = is_begun ~= nil
  if not is_begun then
    self.ended = errors.end_of(why:match("^[%u%d_]+"))
    mark(self)
  end
end

--- Begins to connect.
-- @tparam string host IP address, or path of a unix socket
-- @tparam ?integer port nil for a unix socket
-- @treturn ?string why it failed, where that is known at once
function stream:begin(host, port)
  local function connected(fault)
    if fault == errors.CANCELED then return end
    self.is_connecting = false
    self.trouble = fault and errors.describe(fault) or false
    if self.reads and not fault then start_reading(self) end
    mark(self)
  end
  self.is_connecting = true
  local begun, why
  if port then
    begun, why = self.handle:connect(host, port, connected)
  else
    begun, why = self.handle:connect(host, connected)
    self.fd = self.handle:fileno() or -1
  end
  if begun then return nil end
  self.is_connecting, self.trouble = false, errors.describe(why)
  return self.trouble
end

--- Has the stream, which is never connected, receive the answer to a look-up, then its end.
-- @tparam string bytes
function stream:answer(bytes)
  self.request = false
  self.inbox[1], self.last, self.ended = bytes, 1, "closed"
  mark(self)
end

--- Sets what the poller reports.
-- @tparam table poller
-- @param owner what is reported
-- @tparam boolean read
-- @tparam boolean write
function stream:watch(poller, owner, read, write)
  self.poller, self.owner, self.reads, self.writes = poller, owner, read, write
  if not read then
    stop_reading(self)
  else
    start_reading(self)
  end
  if read and self:is_readable() or write and self:is_writable() then mark(self) end
end

--- Tells whether `receive` has something to tell.
-- @treturn boolean
function stream:is_readable()
  return self.last > 0 or self.ended ~= false
end

--- Tells whether `connected` or `send` has something to tell.
-- @treturn boolean
function stream:is_writable()
  if self.is_connecting or self.writing > 0 or not self.handle then return false end
  return not (self.broken and self.reads) or self.ended ~= false
end

--- Tells whether the socket is connected.
-- @treturn[1] boolean false while that is not known
-- @treturn[2] nil
-- @treturn[2] string why it cannot be
function stream:connected()
  if self.trouble then return nil, self.trouble end
  if self.is_connecting then return false end
  if self.kind == "unix" then return true end
  local peer, own = self.handle:getpeername(), self.handle:getsockname()
  if peer and own and address_of.is_same(peer.ip, peer.port, own.ip, own.port) then
    return nil, errors.describe("ECONNREFUSED")
  end
  return true
end

--- Receives the bytes that have come.
-- @treturn[1] string bytes, at least one
-- @treturn[1] boolean whether there are more
-- @treturn[2] nil
-- @treturn[2] string `timeout` (no bytes have come), `closed` or `reset`
function stream:receive()
  local first, last = self.first, self.last
  if last == 0 then
    if not self.handle then return nil, "closed" end
    return nil, self.ended or "timeout"
  end
  local bytes = self.inbox[first]
  self.inbox[first] = nil
  if first < last then
    self.first = first + 1
    return bytes, true
  end
  self.first, self.last = 1, 0
  if self.reads and not self.is_reading then start_reading(self) end
  return bytes, false
end

-- What the peer has sent before its end is read first, as long as anything is read.
local function fail(self, why, from)
  self.broken = why
  return nil, self.reads and not self.ended and "timeout" or why, from
end

-- Gives libuv a piece of what the socket has not taken, so that it says when there is room.
local function write_more(self, bytes, from)
  self.on_written = self.on_written or function(fault)
    if fault == errors.CANCELED then return end
    self.written, self.writing = fault and 0 or self.writing, 0
    self.broken = fault and errors.end_of(fault) or self.broken
    mark(self)
  end
  local piece = sub(bytes, from, from + CHUNK_BYTES - 1)
  local begun, why, name = self.handle:write(piece, self.on_written)
  if not begun then return fail(self, errors.end_of(name or why), from) end
  self.writing = #piece
  return nil, "timeout", from
end

--- Sends as many bytes as the operating system takes.
-- @tparam string bytes the same as before, after it has not taken all
-- @tparam integer from position of the first to send
-- @treturn[1] integer position after the last byte: all were taken
-- @treturn[2] nil
-- @treturn[2] string `timeout` (the socket is full), `closed` or `reset`
-- @treturn[2] integer position after the last byte that was taken
function stream:send(bytes, from)
  if not self.handle then return nil, "closed", from end
  if self.broken then return fail(self, self.broken, from) end
  if self.writing > 0 then return nil, "timeout", from end
  from, self.written = from + self.written, 0
  local size = #bytes
  while from <= size do
    local offer = (from > 1 or size > OFFER_BYTES) and sub(bytes, from, from + OFFER_BYTES - 1) or bytes
    local count, why, name = self.handle:try_write(offer)
    if not count and name ~= "EAGAIN" then return fail(self, errors.end_of(name or why), from) end
    from = from + (count or 0)
    if count ~= #offer then return write_more(self, bytes, from) end
  end
  return size + 1
end

--- Tells whether bytes wait in the inbox.
-- @treturn boolean
function stream:pending()
  return self.last > 0
end

--- Gives the descriptor.
-- @treturn integer -1 after `close`
function stream:getfd()
  return self.fd
end

--- Gives the address of the peer.
-- @treturn string IP address, without the prefix of an IPv4 address inside IPv6; "unix" for a unix socket; "" when
-- unknown
-- @treturn integer port, 0 when unknown
function stream:peer()
  if self.kind == "unix" then return "unix", 0 end
  local known = self.handle and self.handle:getpeername()
  return address_of.shown(known and known.ip, known and known.port)
end

--- Ends the sending direction: the peer reads all that was sent, then the end.
function stream:shutdown()
  if self.handle then self.handle:shutdown() end
end

--- Closes the descriptor.
-- @tparam ?number linger 0 resets the connection; for other times the system decides
function stream:close(linger)
  local handle = self.handle
  if not handle then return end
  self.handle, self.fd, self.is_reading = false, -1, false
  if self.request then libuv.library().cancel(self.request) end
  if linger == 0 then libuv.reset(handle) else libuv.close(handle) end
end

--- Sends a few bytes and closes, as soon as the peer has ended or has had two seconds to read them: what it has sent
-- is read meanwhile, for it would turn the end into a reset.
-- @tparam string bytes
function stream:turn_away(bytes)
  local handle, timer = self.handle, libuv.library().new_timer()
  self.handle, self.fd = false, -1
  local function close()
    libuv.close(handle)
    libuv.close(timer)
  end
  timer:start(FAREWELL_MS, 0, close)
  handle:read_start(function(why, read) if why or not read then close() end end)
  handle:try_write(bytes)
  if not handle:shutdown() then close() end
end

return stream
