--- Methods of a connection that wait: they suspend the function of `websockets.coroutine` that calls them, and nothing
-- else. A client of `websockets.connect` has methods of the same names that block, see `websockets.blocking`.
-- @module websockets.waiting.methods
local errors = require("websockets.errors")
local loading = require("websockets.loading")
local receiver = require("websockets.waiting.receiver")
local tasks = require("websockets.waiting.tasks")

local methods = {}

local NAME, OPEN_NAME = "websocket:receive", "websocket:wait_open"

local ELSEWHERE = "websocket:receive: the messages of this connection go to on_receive"
local NO_ITERATOR = "websocket:messages cannot wait in this Lua, which suspends nothing inside of 'for … in'; use "
  .. "websocket:receive in a while loop"
local SERVER = "websocket:wait_open is for connections of context:connect"

-- Keeps a call from being a tail call, which would hide the line of an error.
local function results(...) return ... end

--- Waits for a message. Messages that come while nobody waits are kept; where 64 of them or 64 KiB wait, the connection
-- is not read until half of them have been taken. With the option `reconnect` it waits across a break.
-- @function websocket:receive
-- @tparam table ws
-- @tparam[opt] number timeout seconds from 0; 0 waits until the next turn has read what is here; none waits without end
-- @treturn[1] string message
-- @treturn[1] integer type `WRITE_TEXT` or `WRITE_BINARY`
-- @treturn[2] nil
-- @treturn[2] string `timeout`
-- @treturn[3] nil
-- @treturn[3] string `closed`: the connection has ended, and all messages that came before have been received
-- @treturn[3] integer code of the end, as `on_closed` gets it
-- @treturn[3] string reason
-- @raise for a wrong timeout; outside of a function of `websockets.coroutine`, or in a callback; where `on_receive` is
-- set; where another function waits for messages of this connection; after 1,000 calls that returned `closed`
function methods.receive(ws, timeout)
  errors.check_object(ws, "state", NAME)
  receiver.check_timeout(timeout, 2)
  tasks.calling(NAME, 2)
  if not receiver.attach(ws) then error(ELSEWHERE, 2) end
  -- That of the connection, from now on.
  return results(ws:receive(timeout))
end

-- A tail call, so that an error names the line of the loop.
local function next_message(ws)
  return ws:receive()
end

-- Whether this Lua can suspend inside of an iterator: Lua 5.1 cannot.
local can_iterate

local function try_iterator()
  local try = coroutine.wrap(function()
    for _ in coroutine.yield do end
  end)
  local is_good, err = pcall(try)
  if not is_good and loading.is_shortage(err) then error(err, 0) end
  return is_good
end

--- Iterates over messages until the connection has ended: `for message, type in ws:messages() do`.
-- @function websocket:messages
-- @tparam table ws
-- @treturn function for `for`; it gives message and type as `receive`
-- @treturn table ws
-- @raise as `receive`; in Lua 5.1, though not in LuaJIT, which cannot suspend a function there
function methods.messages(ws)
  errors.check_object(ws, "state", "websocket:messages")
  tasks.calling("websocket:messages", 2)
  if can_iterate == nil then can_iterate = try_iterator() end
  if not can_iterate then error(NO_ITERATOR, 2) end
  return next_message, ws
end

--- Waits until a connection of `context:connect` is open. With the option `reconnect` it waits for as many tries as it
-- takes. Messages that come from then on are kept, as `receive` says.
-- @function websocket:wait_open
-- @tparam table ws
-- @treturn[1] table ws
-- @treturn[2] nil
-- @treturn[2] string message
-- @treturn[2] string code why it has ended, as for `websockets.connect`
-- @treturn[2] ?integer status of the server's answer, where one came
-- @treturn[2] ?table headers of that answer: lower-case name -> value
-- @treturn[2] ?string body of that answer, at most its first 64 KiB
-- @raise outside of a function of `websockets.coroutine`, or in a callback; for a connection to this server
function methods.wait_open(ws)
  errors.check_object(ws, "state", OPEN_NAME)
  local task = tasks.calling(OPEN_NAME, 2)
  if ws.role ~= "client" then error(SERVER, 2) end
  local self = receiver.attach(ws) or receiver.follow(ws)
  while ws.state ~= "open" do
    if receiver.is_over(ws) then return loading.load("websockets.client.response").failure(ws) end
    local openers = self.openers or {}
    self.openers = openers
    openers[#openers + 1] = task
    tasks.suspend(task, false, OPEN_NAME, 2)
  end
  return ws
end

return methods
