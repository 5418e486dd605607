--- Connections of the API of 2.x that call functions: what the client and the server under lua-ev share.
-- @module websocket.eventful
local sending = require("websocket.sending")
local sync = require("websocket.sync")

local eventful = {}
eventful.__index = eventful

local CLOSE_SECONDS = 3

-- For methods that a program may call with a function, or with nil to call none.
local function setter(name)
  return function(self, fn) self.handlers[name] = fn end
end

--- Sets the function that gets messages.
-- @function eventful:on_message
-- @tparam ?function fn `fn(ws, message, opcode)`
eventful.on_message = setter("message")

--- Sets the function that hears of the end.
-- @function eventful:on_close
-- @tparam ?function fn `fn(ws, was_clean, code, reason)`
eventful.on_close = setter("close")

--- Sets the function that hears of errors; without one they are printed.
-- @function eventful:on_error
-- @tparam ?function fn `fn(ws, err)`
eventful.on_error = setter("error")

--- Gives an object what all connections have.
-- @tparam table object
-- @treturn table the object
function eventful.init(object)
  object.state, object.handlers, object.ws, object.timer = "CLOSED", {}, false, false
  return object
end

--- Tells an error.
-- @tparam table self
-- @tparam string err
-- @param ... more about it
-- @return what the function of the program returned
function eventful.tell_error(self, err, ...)
  local handler = self.handlers.error
  if handler then return handler(self, err, ...) end
  print("Error", err)
end

--- Where errors of a program's own functions go: to the standard error output, as lua-ev and copas do with them.
-- @param err
function eventful.report(err)
  io.stderr:write("websocket: error in a callback: ", tostring(err), "\n")
end

-- The texts of 2.x for an end without a close frame.
local function reason_of(self, reason, why)
  if self.is_late then return "timeout" end
  return reason ~= "" and reason or why
end

--- Takes note that the connection has ended.
-- @tparam table self
-- @tparam integer code
-- @tparam string reason
-- @tparam boolean is_clean
-- @tparam string why word of `websockets.errors`
function eventful.ended(self, code, reason, is_clean, why)
  if self.timer then self.timer:cancel() end
  if not is_clean then reason = reason_of(self, reason, why) end
  self.state, self.timer, self.is_late = "CLOSED", false, nil
  local handler = self.handlers.close
  if handler then handler(self, is_clean, code, reason) end
end

--- Has the messages of a connection of `websockets` call the functions of this one.
-- @tparam table self
-- @tparam table ws
function eventful.listen(self, ws)
  self.ws, self.state = ws, "OPEN"
  ws:on_receive(function(_, data, kind)
    local handler = self.handlers.message
    if handler and self.state == "OPEN" then handler(self, data, sending.opcode(kind)) end
  end)
end

--- Sends a message.
-- @tparam string data
-- @tparam[opt=TEXT] integer opcode
-- @treturn[1] integer how many bytes wait to be sent
-- @treturn[2] nil
-- @treturn[2] string why it is not sent
function eventful:send(data, opcode)
  if self.state ~= "OPEN" then return nil, "wrong state" end
  local is_sent, _, why = sending.send(self.ws, tostring(data), opcode)
  if not is_sent then return nil, why end
  return self.ws:buffered()
end

--- Closes the connection.
-- @tparam[opt=1000] integer code
-- @tparam[opt] string reason
-- @tparam[opt=3] number timeout seconds for the peer's close frame; more than 5 count as 5
function eventful:close(code, reason, timeout)
  if self.state ~= "OPEN" then return end
  local ws = self.ws
  self.state = "CLOSING"
  ws:close(sync.close_arguments(code, reason))
  if self.state ~= "CLOSING" then return end
  self.timer = self.context:after(math.max(timeout or CLOSE_SECONDS, 0), function()
    self.is_late = true
    ws:close(0)
  end)
end

return eventful
