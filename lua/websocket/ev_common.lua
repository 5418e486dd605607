--- Sending and receiving over a LuaSocket object under lua-ev, as in the API of 2.x, for programs that use these by
-- themselves. `websocket.client_ev` and `websocket.server_ev` do not.
-- @module websocket.ev_common
local codec = require("websockets.codec")

local ev_common = {}

local CHUNK_BYTES = 65536
local MAX_MESSAGE_BYTES = 16 * 1024 * 1024
local FIRST_CONTROL = 8
-- lua-ev takes no timer of 0 seconds.
local AT_ONCE_SECONDS = 1e-6

local function later(ev, loop, fn, ...)
  local arguments, count = { ... }, select("#", ...)
  local timer = ev.Timer.new(function(_, timer)
    timer:stop(loop)
    fn((table.unpack or unpack)(arguments, 1, count))
  end, AT_ONCE_SECONDS)
  timer:start(loop)
end

local sender = {}
sender.__index = sender

--- Throws away what waits.
function sender:stop()
  self.watcher:stop(self.loop)
  self.is_watching, self.queue, self.waits = false, {}, 0
end

local function settle(self, name, ...)
  local one = table.remove(self.queue, 1)
  self.waits = self.waits - #one.bytes + one.sent
  if one[name] then later(self.ev, self.loop, one[name], ...) end
end

--- Sends as much as the socket takes.
-- @treturn boolean whether more waits
function sender:flush()
  while self.queue[1] do
    local one = self.queue[1]
    local last, why, partial = self.sock:send(one.bytes, one.sent + 1)
    local sent = last or partial or one.sent
    self.waits, one.sent = self.waits - (sent - one.sent), sent
    if last then
      settle(self, "on_sent", one.bytes)
    elseif why == "timeout" then
      return true
    else
      settle(self, "on_err", why)
      self:stop()
    end
  end
  return false
end

--- Makes a function that sends without waiting.
-- @tparam userdata sock connected LuaSocket object that never waits
-- @tparam[opt] userdata loop lua-ev's default loop
-- @treturn function `send(bytes, on_sent, on_err)` returns how many bytes wait. `on_sent(bytes)` is called when all of
-- these have left, `on_err(why)` when they cannot; neither inside `send`
-- @treturn function `stop()`: what waits is thrown away
function ev_common.async_send(sock, loop)
  local ev = require("ev")
  loop = loop or ev.Loop.default
  local self = setmetatable({
    ev = ev, sock = sock, loop = loop, queue = {}, waits = 0, is_watching = false,
  }, sender)
  local function flush()
    local has_more = self:flush()
    if has_more ~= self.is_watching then
      self.is_watching = has_more
      self.watcher[has_more and "start" or "stop"](self.watcher, loop)
    end
  end
  self.watcher = ev.IO.new(flush, sock:getfd(), ev.WRITE)
  return function(bytes, on_sent, on_err)
    self.queue[#self.queue + 1] = { bytes = bytes, sent = 0, on_sent = on_sent, on_err = on_err }
    self.waits = self.waits + #bytes
    if not self.is_watching then flush() end
    return self.waits
  end, function() self:stop() end
end

-- A message of several frames; control frames may come between them.
local function take(self, payload, fin, opcode)
  if opcode >= FIRST_CONTROL then return self.on_message(payload, opcode) end
  self.opcode = self.opcode or opcode
  self.parts[#self.parts + 1] = payload
  self.size = self.size + #payload
  if not fin then return end
  local message, first = table.concat(self.parts), self.opcode
  self.parts, self.size, self.opcode = {}, 0, nil
  self.on_message(message, first)
end

-- A large frame comes in many pieces, which are joined once.
local function gather(self, bytes)
  local pieces = self.pieces
  pieces[#pieces + 1], self.missing = bytes, self.missing - #bytes
  if self.missing > 0 then return nil end
  self.pieces = {}
  return table.concat(pieces)
end

-- Returns what is wrong.
local function feed(self, bytes)
  bytes = gather(self, bytes)
  if not bytes then return nil end
  local position = 1
  while self.watcher:is_active() do
    local payload, fin, opcode, after = codec.decode(bytes, position)
    if not payload then
      -- What is declared and too large is never waited for.
      if fin > MAX_MESSAGE_BYTES or self.size > MAX_MESSAGE_BYTES then return "message too large" end
      self.missing = fin
      break
    end
    position = after
    take(self, payload, fin, opcode)
  end
  self.pieces = { position <= #bytes and bytes:sub(position) or nil }
end

local function read(self, sock, loop)
  while self.watcher:is_active() do
    local bytes, why, part = sock:receive(CHUNK_BYTES)
    bytes = bytes or part
    local fault
    if bytes and bytes ~= "" then fault = feed(self, bytes) end
    if why == "timeout" and not fault then return end
    if why and (not bytes or bytes == "") then fault = why end
    if fault then
      self.watcher:stop(loop)
      return self.on_error(fault, self.watcher, sock)
    end
  end
end

--- Reads messages of a socket.
-- @tparam userdata sock connected LuaSocket object that never waits
-- @tparam userdata loop
-- @tparam function on_message `on_message(payload, opcode)`, for control frames too
-- @tparam function on_error `on_error(why, watcher, sock)`: nothing more is read
-- @treturn userdata the watcher; `stop(loop)` ends reading
function ev_common.message_io(sock, loop, on_message, on_error)
  local ev = require("ev")
  local self = {
    pieces = {}, missing = 0, parts = {}, size = 0, on_message = on_message, on_error = on_error,
  }
  self.watcher = ev.IO.new(function() read(self, sock, loop) end, sock:getfd(), ev.READ)
  self.watcher:start(loop)
  -- Bytes that LuaSocket has read ahead show in no descriptor.
  read(self, sock, loop)
  return self.watcher
end

return ev_common
