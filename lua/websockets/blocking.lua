--- A client for scripts: each method waits until it is done. What `websockets.connect` makes has all methods of
-- `websockets.websocket`; those below are added, or wait.
--
-- Such a connection is served while one of its methods waits, and at no other time: pings are answered and sent then.
-- @classmod websockets.blocking
local context_of = require("websockets.context")
local definition = require("websockets.options.definition")
local entry = require("websockets.turn.entry")
local errors = require("websockets.errors")
local load = require("websockets.loading").load
local mailbox = require("websockets.connection.mailbox")
local outbox = require("websockets.connection.outbox")
local outside = require("websockets.turn.outside")
local receiver = require("websockets.waiting.receiver")
local websocket = require("websockets.websocket")

local blocking = setmetatable({}, { __index = websocket })
blocking.__index = blocking
blocking.__tostring = websocket.__tostring

local HUGE = math.huge
local max, min = math.max, math.min
local is_empty = mailbox.is_empty

-- In place of ping_timeout while nothing is read.
local FULL_SECONDS = 1
-- A program that calls often, and never has to wait, has its pings answered this often.
local LOOK_SECONDS = 1
-- Where so much has come and was not received, nothing more is read.
local MAX_BYTES, MAX_MESSAGES = 4 * 1024 * 1024, 4096

-- The options that are those of the private context.
local OF_CONTEXT = { log = true, sockets = true }

-- A connection that has ended gives back what its context holds.
local function clean_up(ws)
  if ws.state == "closed" and not ws.context.busy then ws.context:destroy() end
end

-- One turn, which waits until something comes or so many seconds have passed.
local function serve(ws, seconds)
  local context = ws.context
  entry.service(context, seconds ~= HUGE and seconds or nil)
  ws.looked_at = context.now
  clean_up(ws)
end

-- Reads what has come before a call that does not wait for it. A timer that is due must not run before that: what it
-- misses, an answer to a ping, may be here.
local function look(ws)
  local context = ws.context
  if context.busy or ws.state == "closed" then return end
  local now = context.clock()
  if now - ws.looked_at >= LOOK_SECONDS or context.timers.earliest <= now then serve(ws, 0) end
end

-- Has a method of `websocket` do its work in a turn. Its caller is a C function, so its error names no line: the caller
-- of this adds it. The last result is the state in which it was called.
local function call(ws, method, ...)
  look(ws)
  local before = ws.state
  local is_good, result, why = entry.within(ws.context, pcall, method, ws, ...)
  clean_up(ws)
  return is_good, result, why, before
end

local function await_message(ws, timeout)
  local clock, box = ws.context.clock, ws.mailbox
  local deadline = clock() + (timeout or HUGE)
  local rest
  repeat
    rest = max(0, deadline - clock())
    serve(ws, rest)
  until not is_empty(box) or ws.state == "closed" or rest == 0
end

local function receive(ws, timeout)
  local box = ws.mailbox
  if mailbox.has_room(box) then entry.within(ws.context, mailbox.go_on, ws) end
  if not is_empty(box) then
    look(ws)
  elseif ws.state ~= "closed" then
    await_message(ws, timeout)
  end
  local message, kind = mailbox.take(box)
  if message then return message, kind end
  if ws.state ~= "closed" then return nil, "timeout" end
  clean_up(ws)
  return receiver.tell_end(ws)
end

local function refuse_inside(ws, name)
  if not outside.can_wait(ws.context) then error(name .. " may not be called inside a callback", 3) end
end

--- Waits for a message. A timeout closes nothing and loses nothing: what has come of a message waits for the rest.
-- @tparam[opt] number timeout seconds from 0; 0 takes what is here, none waits without end
-- @treturn[1] string message
-- @treturn[1] integer type `WRITE_TEXT` or `WRITE_BINARY`
-- @treturn[2] nil
-- @treturn[2] string `timeout`
-- @treturn[3] nil
-- @treturn[3] string `closed`: the connection has ended, and all messages that came before have been received
-- @treturn[3] integer code of the end, as `on_closed` gets it
-- @treturn[3] string reason
-- @raise for a wrong timeout; inside a callback; the first error of a callback
function blocking:receive(timeout)
  errors.check_object(self, "mailbox", "websocket:receive")
  receiver.check_timeout(timeout, 2)
  refuse_inside(self, "receive")
  return receive(self, timeout)
end

local function next_message(ws)
  refuse_inside(ws, "receive")
  local message, kind = receive(ws)
  if message then return message, kind end
end

--- Iterates over messages until the connection has ended: `for message, type in ws:messages() do`.
-- @treturn function for `for`; it gives message and type as `receive`
-- @treturn table ws
function blocking:messages()
  errors.check_object(self, "mailbox", "websocket:messages")
  return next_message, self
end

-- How long a peer may take nothing. One that waits for us to take what it sends will not go on by itself.
local function patience(ws)
  local seconds = ws.settings.ping_timeout or HUGE
  return ws.mailbox.is_full and min(seconds, FULL_SECONDS) or seconds
end

-- Waits until no more than so many bytes wait to be sent; false where the peer takes none of them for too long.
local function await_room(ws, most)
  local clock = ws.context.clock
  local before, taken_at = HUGE, 0
  while ws.state == "open" and ws.wire:buffered() > most do
    local now, waits = clock(), ws.wire:buffered()
    if waits < before then taken_at = now end
    before = waits
    local rest = taken_at + patience(ws) - now
    if rest <= 0 then return false end
    serve(ws, rest)
  end
  return true
end

--- Sends a message, and waits until the system has taken it. Where the peer takes none of it for `ping_timeout`, or for
-- a second while so much waits to be received that nothing is read, it stays queued, and leaves while later calls wait.
-- Inside a callback it is queued.
-- @tparam string|number data the payload; text must be UTF-8
-- @tparam[opt=WRITE_TEXT] integer kind as for `websocket:write`
-- @treturn[1] integer 0
-- @treturn[2] integer -1
-- @treturn[2] string `closed` or `closing`: the connection has ended before all was sent; `full`: the peer takes
-- nothing of what was sent before, and nothing was queued; `utf8`, `fragment`, `type` or `entropy`
-- @raise for a payload that is no string or number, or a control frame of more than 125 bytes
function blocking:write(data, kind)
  errors.check_object(self, "mailbox", "websocket:write")
  local may_wait = outside.can_wait(self.context)
  if may_wait and not await_room(self, self.settings.high_water_bytes) then return -1, "full" end
  local is_good, result, why, before = call(self, websocket.write, data, kind)
  if not is_good then error(result, 2) end
  -- Nothing has to leave now where a connection that is opened again keeps the message, or where it was a close frame.
  if result ~= 0 or not may_wait or before ~= "open" or self.state == "closing" then return result, why end
  await_room(self, 0)
  if self.state ~= "open" then return outbox.refuse(self) end
  return 0
end

--- Sends a ping. The answer comes to `on_pong` while a later call waits.
-- @tparam[opt=""] string data at most 125 bytes
-- @treturn[1] integer 0
-- @treturn[2] integer -1
-- @treturn[2] string `closed`, `closing`, `full` or `type`
-- @raise for more than 125 bytes
function blocking:ping(data)
  errors.check_object(self, "mailbox", "websocket:ping")
  local is_good, result, why = call(self, websocket.ping, data)
  if not is_good then error(result, 2) end
  return result, why
end

--- Ends the connection, and waits for the closing handshake: at most `close_timeout` for the peer's close frame, and as
-- long again for its end of the connection. Messages that come after this call are thrown away; those that were here
-- can still be received. Inside a callback it does not wait.
-- @tparam[opt] integer code as for `websocket:close`
-- @tparam[opt] string reason at most 123 bytes of UTF-8
-- @treturn[1] boolean true: both close frames were exchanged, by this call or before
-- @treturn[1] integer code of the peer, 1005 for none
-- @treturn[1] string reason of the peer
-- @treturn[2] nil
-- @treturn[2] string why the connection ended otherwise: `timeout`, `closed`, `reset` … as `on_closed` gets it;
-- `closing` inside a callback
-- @treturn[2] ?integer code, as `on_closed` gets it
-- @treturn[2] ?string reason
-- @raise for a code that may not be sent, or a reason that is not UTF-8 or too long; the first error of a callback
function blocking:close(code, reason)
  errors.check_object(self, "mailbox", "websocket:close")
  local is_good, err = call(self, websocket.close, code, reason)
  if not is_good then error(err, 2) end
  if not outside.can_wait(self.context) then return nil, "closing" end
  while self.state ~= "closed" do serve(self) end
  local outcome = self.outcome
  if outcome.clean then return true, outcome.code, outcome.reason end
  return nil, outcome.why, outcome.code, outcome.reason
end

--- Raises: the messages of this connection are received by `receive` and `messages`.
-- @raise always
function blocking.on_receive()
  error("websocket:on_receive is not for a connection of websockets.connect, which has receive and messages", 2)
end

-- The context of one connection needs no limits for all of them beside those of the connection.
local function new_context(given, level)
  local own = { max_buffered_total_bytes = HUGE, max_unfinished_total_bytes = HUGE }
  local rest = definition.copy(given)
  for name in pairs(OF_CONTEXT) do own[name], rest[name] = given[name], nil end
  return context_of.new(own, level + 1, blocking), rest
end

local function note_open(ws)
  ws.has_opened = true
end

-- Waits until it is open, or has ended.
local function await_open(ws)
  ws.mailbox, ws.looked_at = mailbox.new(MAX_BYTES, MAX_MESSAGES), ws.context.now
  ws.open_handler, ws.receive_handler = note_open, mailbox.put
  while not ws.has_opened and ws.state ~= "closed" do serve(ws) end
  ws.open_handler = nil
  if ws.has_opened then return ws end
  return load("websockets.client.response").failure(ws)
end

--- Connects, for `websockets.connect`.
-- @tparam string url
-- @tparam ?table given option name -> value
-- @tparam integer level of the caller, as for `error`
-- @treturn[1] table ws
-- @treturn[2] nil
-- @treturn[2] string message
-- @treturn[2] string code
-- @treturn[2] ?integer status of the server's answer, where one came, with headers and body after it
-- @raise for a wrong URL, a wrong or unknown option
function blocking.connect(url, given, level)
  local is_table = type(given) == "table"
  local context, rest = new_context(is_table and given or {}, level + 1)
  if not outside.can_wait(context) then
    context:destroy()
    error("websockets.connect may not be called inside a callback of the event loop", level)
  end
  local is_good, ws, message, code = pcall(context.connect, context, url, is_table and rest or given)
  if is_good and ws then return await_open(ws) end
  context:destroy()
  if not is_good then error(ws, level) end
  return nil, message, code
end

require("websockets.loading").interpret(new_context)

return blocking
