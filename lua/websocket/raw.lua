--- The bytes of a connection by functions of the application: what `websocket.sync` extends an object with. Each method
-- waits as long as those functions do.
-- @module websocket.raw
local codec = require("websockets.codec")

local raw = {}
raw.__index = raw

-- A peer that goes on sending after our close frame is not listened to for longer.
local CLOSE_SECONDS = 5
local ABNORMAL = 1006

--- Begins on an object with `sock_send`, `sock_receive` and `sock_close`.
-- @tparam table object
-- @treturn raw
function raw.new(object)
  return setmetatable({
    object = object, session = codec.session({ role = object.is_server and "server" or "client" }),
    -- Of the frame that is coming: its first bytes, and how many have come.
    head = "", here = 0, events = {}, first = 1,
  }, raw)
end

local function note(self, bytes)
  if not codec.frame_bytes(self.head) then self.head = self.head .. bytes end
  self.here = self.here + #bytes
  if codec.frame_bytes(self.head) == self.here then self.head, self.here = "", 0 end
end

-- One call of `sock_receive`, for the rest of the present frame or its header. Returns false and why where it failed.
local function read(self)
  local total, least = codec.frame_bytes(self.head)
  local bytes, why, part = self.object:sock_receive((total or least) - self.here)
  bytes = bytes or part
  if bytes and bytes ~= "" then
    note(self, bytes)
    self.events, self.first = self.session:receive(bytes), 1
    return true
  end
  return false, why or "closed"
end

local function send(self, bytes)
  local count, why = self.object:sock_send(bytes)
  return count == #bytes, why
end

-- The next thing that the application hears of: a message, or the end.
local function next_event(self)
  while true do
    local event = self.events[self.first]
    if not event then return nil end
    self.first = self.first + 1
    if event.kind == "message" then return event end
    local is_sent, why = true, nil
    if event.bytes then is_sent, why = send(self, event.bytes) end
    if event.kind == "closed" then
      event.clean = event.clean and is_sent
      return event
    end
    if not is_sent then return { kind = "closed", code = ABNORMAL, reason = why or "closed", clean = false } end
  end
end

local function finish(self, event)
  self.object:sock_close()
  return event.clean, event.code, event.reason
end

--- Waits for a message.
-- @treturn[1] string message
-- @treturn[1] integer opcode
-- @treturn[2] nil
-- @treturn[2] boolean whether the connection has ended; else it was a timeout, and goes on
-- @treturn[2] boolean whether it ended by a closing handshake
-- @treturn[2] integer close code
-- @treturn[2] string reason
function raw:receive()
  while true do
    local event = next_event(self)
    if event and event.kind == "message" then return event.payload, event.opcode end
    if event then return nil, true, finish(self, event) end
    local is_good, why = read(self)
    if not is_good and why == "timeout" then return nil, false, false, ABNORMAL, why end
    if not is_good then return nil, true, finish(self, { clean = false, code = ABNORMAL, reason = why }) end
  end
end

--- Sends a message or control frame.
-- @tparam string data
-- @tparam integer opcode
-- @treturn[1] boolean true
-- @treturn[2] boolean false
-- @treturn[2] boolean whether the connection has ended
-- @treturn[2] string why
function raw:send(data, opcode)
  local bytes, _, why = self.session:send(data, opcode)
  if not bytes then return false, false, why end
  local is_sent
  is_sent, why = send(self, bytes)
  if is_sent then return true end
  -- A part may have left: nothing can follow.
  self.object:sock_close()
  return false, true, why or "closed"
end

--- Closes, and waits for the peer's close frame.
-- @tparam ?integer code
-- @tparam ?string reason
-- @treturn boolean whether both close frames were exchanged
-- @treturn integer close code of the peer
-- @treturn string reason
function raw:close(code, reason)
  local bytes, message = self.session:close(code, reason)
  local is_sent, why = false, message
  if bytes then is_sent, why = send(self, bytes) end
  if not is_sent then return finish(self, { clean = false, code = ABNORMAL, reason = why or "closed" }) end
  local deadline = os.time() + CLOSE_SECONDS
  repeat
    local event = next_event(self)
    if event and event.kind == "closed" then return finish(self, event) end
    local is_good = true
    if not event then is_good, why = read(self) end
  until not is_good or os.time() > deadline
  return finish(self, { clean = false, code = ABNORMAL, reason = why or "timeout" })
end

return raw
