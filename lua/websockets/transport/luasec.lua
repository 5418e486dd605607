--- Bytes in and out of a LuaSec connection, without blocking. After a fatal error LuaSec spins for ever when it is
-- asked to receive or send: such a transport keeps the reason, and calls nothing but `close` any more.
-- @module websockets.transport.luasec
local lent = require("websockets.transport.lent")
local address_of = require("websockets.transport.address")
local luasocket = require("websockets.transport.luasocket")
local tls_context = require("websockets.transport.tls_context")
local tls_facts = require("websockets.transport.tls_facts")
local unwrapped = require("websockets.transport.unwrapped")
local watched = require("websockets.transport.watched")

local CHUNK_BYTES = 65536

local luasec = {
  --- Bytes that were not taken must be offered again as the same bytes.
  keeps_offer = true,
  --- How many bytes of frames are joined: LuaSec cuts them into records of 8 KiB again, so more would save little.
  join_bytes = 16384,
  --- Whether receiving waits for room to send; reading is not tried before `resume`.
  is_stalled = false,
  -- What stands here until something else does costs a connection nothing. Whether sending waits for room; why nothing
  -- can be received or sent any more; how many bytes to ask for.
  is_secure = false, is_full = false, why = false, message = false, ask = CHUNK_BYTES,
  names = false, on_secure = false, queue = false,
}
luasec.__index = luasec

local RESET = { on = true, timeout = 0 }
local floor = math.floor

-- What LuaSec says where the connection has ended; nil where it says nothing. `System error` is how LuaSec 1.3 words a
-- FIN on OpenSSL 3.0.
local ENDS = {
  closed = true, ["Broken pipe"] = true, ["Connection reset by peer"] = true, ["System error"] = true,
  ["unexpected eof while reading"] = true,
}

-- What LuaSec says where the first bytes are no TLS: of GET, HEAD, POST, PUT; of CONNECT; of anything else.
local PLAIN = { ["http request"] = true, ["https proxy request"] = true, ["wrong version number"] = "perhaps" }

local function new(object, options)
  -- The LuaSec object has the name that pollers know.
  local self = setmetatable({ socket = object }, luasec)
  if options then
    self.on_secure, self.queue, self.names = options.on_secure, options.queue, options.names
  end
  return self
end

-- LuaSec takes the descriptor, then tells its owner. An error between the two (Ctrl-C) would have both close it, and
-- the number may be another's by then: this owner has given it up when LuaSec gets it.
local function once(socket)
  return {
    getfd = function()
      local fd = socket:getfd()
      socket:setfd(-1)
      return fd
    end,
    setfd = function() end,
  }
end

--- Puts TLS on a connected socket.
-- @tparam userdata|table socket LuaSocket client object, or a table with `getfd()` and `setfd(fd)`; it has no
-- descriptor afterwards
-- @tparam userdata context of `websockets.transport.tls_context`
-- @tparam[opt] table options `server_name`: of a client, the name for SNI. `names`: of a server with several
-- certificates, host name -> LuaSec context. `on_secure(transport)`: called once after the TLS handshake, before any
-- byte; returns true, or nil, why, message to end the connection. `queue`: its `may_begin(transport)` tells whether a
-- step of the TLS handshake may be done now
-- @treturn[1] luasec
-- @treturn[2] nil the socket is as it was
-- @treturn[2] string message
-- @treturn[2] string `tls`
function luasec.new(socket, context, options)
  local library, missing, code = tls_context.library()
  if not library then return nil, missing, code end
  -- Before, for LuaSec has no such call. A unix socket has no such option and raises.
  if socket.setoption then pcall(socket.setoption, socket, "tcp-nodelay", true) end
  local object, why = library.wrap(once(socket), context)
  if not object then return nil, "LuaSec made no connection: " .. tostring(why), "tls" end
  object:settimeout(0)
  local self = new(object, options)
  -- LuaSec must not lose this before the connection ends, nor `names`.
  self.context = context
  if options and options.server_name then object:sni(options.server_name) end
  if self.names then object:sni(self.names) end
  return self
end

--- Takes a connection that LuaSec has already, whether its TLS handshake is done or not.
-- @tparam userdata object of LuaSec
-- @tparam[opt] table options as for `new`
-- @treturn luasec
function luasec.adopt(object, options)
  object:settimeout(0)
  lent.call(object:getfd(), "setoption", "tcp-nodelay", true)
  return new(object, options)
end

-- Keeps the reason for which nothing can be received or sent any more.
local function die(self, why)
  self.why = (why == nil or ENDS[why]) and "closed" or "tls"
  self.message = why or "closed"
  self.is_stalled, self.is_full = nil, nil
  return nil, self.why, self.message
end

local function refuse(self, why, message)
  self.why, self.message = why, message
  return nil, why, message
end

-- What of the application is called in this may raise: the connection is lost then.
local function step(self)
  self.why, self.message = "error", "a callback raised an error"
  local done, why = watched.call(self.socket, "dohandshake")
  self.why, self.message = nil, nil
  return done, why
end

--- Goes on with the TLS handshake. `receive` and `send` do this too.
-- @treturn[1] boolean true: it is done
-- @treturn[2] nil
-- @treturn[2] string `timeout`: the peer is awaited, see `wants`; `tls`, `closed`, or what `on_secure` gave: it has
-- failed
-- @treturn[2] ?string message
-- @raise what a function of the application raises in it; the connection is lost then
function luasec:handshake()
  if self.why then return nil, self.why, self.message end
  if self.is_secure then return true end
  if self.queue and not self.queue:may_begin(self) then return nil, "timeout" end
  local done, why = step(self)
  self.is_stalled = not done and why == "wantwrite" or nil
  if not done then
    if self.is_stalled or why == "wantread" then return nil, "timeout" end
    return die(self, why)
  end
  if self.on_secure then
    local is_good, word, message = self.on_secure(self)
    if not is_good then return refuse(self, word, message) end
    -- Not before: an error may come at any time, and must not pass for a peer that was verified.
    self.on_secure = nil
  end
  self.is_secure = true
  return true
end

-- Asking for as many bytes as came last time saves a call of the system: LuaSec asks for more until there are no more.
-- Here there are more: returns as LuaSec's `receive` does.
local function receive_rest(socket, bytes)
  local more, why, partial = watched.call(socket, "receive", CHUNK_BYTES)
  if more then return bytes .. more end
  return nil, why, bytes .. (partial or "")
end

-- What came, but for as many bytes as were asked for.
local function received_less(self, why, partial)
  if why == "wantwrite" then
    self.is_stalled = true
  elseif why ~= "wantread" then
    die(self, why)
  end
  if partial and partial ~= "" then
    self.ask = #partial < CHUNK_BYTES and #partial or CHUNK_BYTES
    -- The end that came with them is told next time: the descriptor may not be readable again.
    return partial, self.why ~= false
  end
  if self.why then return nil, self.why, self.message end
  return nil, "timeout"
end

--- Receives the bytes that have come.
-- @treturn[1] string bytes, at least one
-- @treturn[1] boolean whether there may be more that polling does not show
-- @treturn[2] nil
-- @treturn[2] string `timeout` (no bytes have come), `closed`, or `tls` (the peer broke TLS)
-- @treturn[2] ?string message
function luasec:receive()
  if self.why or not self.is_secure then
    local done, why, message = self:handshake()
    if not done then return nil, why, message end
  end
  local socket, ask = self.socket, self.ask
  local bytes, why, partial = watched.call(socket, "receive", ask)
  local is_dirty = bytes and socket:dirty()
  if is_dirty and ask < CHUNK_BYTES then
    bytes, why, partial = receive_rest(socket, bytes)
    is_dirty = bytes and socket:dirty()
  end
  if self.is_stalled then self.is_stalled = nil end
  if not bytes then return received_less(self, why, partial) end
  if #bytes ~= ask then self.ask = #bytes < CHUNK_BYTES and #bytes or CHUNK_BYTES end
  return bytes, is_dirty
end

--- Sends as many bytes as the operating system takes.
-- @tparam string bytes
-- @tparam integer from position of the first to send
-- @treturn[1] integer position after the last byte: all were taken
-- @treturn[2] nil
-- @treturn[2] string `timeout` (the socket is full), `closed` or `tls`
-- @treturn[2] integer position after the last byte that was taken
function luasec:send(bytes, from)
  if self.why or not self.is_secure then
    local done, why = self:handshake()
    if not done then return nil, why, from end
  end
  if from > #bytes then return from end
  local last, reason, partial = self.socket:send(bytes, from)
  if last then
    if self.is_full then self.is_full = nil end
    return #bytes + 1
  end
  local next_position = floor(partial or from - 1) + 1
  self.is_full = reason == "wantwrite" or reason == "wantread"
  if self.is_full then return nil, "timeout", next_position end
  die(self, reason)
  return nil, self.why, next_position
end

--- Has receiving tried again, which waited for room to send.
function luasec:resume()
  self.is_stalled = nil
end

--- Tells what has to be watched, beside what the owner waits for.
-- @treturn boolean whether receiving can go on when bytes come
-- @treturn boolean whether anything waits for room to send
function luasec:wants()
  return not self.is_stalled, self.is_stalled or self.is_full
end

--- Tells whether decrypted bytes wait, which polling does not show.
-- @treturn boolean
function luasec:pending()
  return not self.why and self.socket:dirty()
end

--- Gives the descriptor.
-- @treturn integer -1 after `close`
function luasec:getfd()
  return floor(self.socket:getfd())
end

--- Gives the address of the peer.
-- @treturn string IP address, without the prefix of an IPv4 address inside IPv6; "" when unknown
-- @treturn integer port, 0 when unknown
function luasec:peer()
  return address_of.shown(lent.call(self:getfd(), "getpeername"))
end

--- Goes on without TLS, after a TLS handshake that has failed.
-- @treturn table a transport that takes the place of this one
-- @treturn boolean whether the peer has sent HTTP without TLS
function luasec:unwrap()
  local plain, is_plain = unwrapped.new(self), PLAIN[self.message]
  if is_plain ~= "perhaps" then return plain, is_plain or false end
  local rest = plain:receive()
  return plain, rest ~= nil and rest:find(" HTTP/1.", 1, true) ~= nil
end

--- Tells about TLS and the peer.
-- @treturn ?table see `websockets.transport.tls_facts`; nil before the TLS handshake is done, and after `close`
function luasec:facts()
  -- LuaSec crashes when it is asked after `close`.
  if not self.is_secure or self:getfd() < 0 then return nil end
  return tls_facts.of(self.socket)
end

--- Ends the sending direction. LuaSec sends a close_notify in `close` only.
function luasec:shutdown()
  lent.call(self:getfd(), "shutdown", "send")
end

-- LuaSec waits in `close` until the socket takes a close_notify. `select` raises for descriptors past its limit.
local function takes_close_notify(self)
  if self.why or self.is_full or self.is_stalled then return false end
  local asked, _, writable = pcall(luasocket.library().select, nil, { self.socket }, 0)
  return asked and writable[1] ~= nil
end

--- Closes the descriptor. Never waits: where the socket takes nothing the peer gets no close_notify.
-- @tparam ?number linger seconds that the system may keep what the peer does not take. 0 resets the connection; for
-- other times LuaSocket has no option: the system decides
function luasec:close(linger)
  local fd = self:getfd()
  if fd < 0 then return end
  if linger == 0 then lent.call(fd, "setoption", "linger", RESET) end
  if linger == 0 or not takes_close_notify(self) then lent.call(fd, "shutdown", "both") end
  if not self.why then self.why, self.message = "closed", "closed" end
  self.socket:close()
end

return luasec
