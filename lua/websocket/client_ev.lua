--- The client of the API of 2.x under lua-ev: `websocket.client.ev`. It calls functions when something happens, and
-- none of them inside `connect`.
-- @classmod websocket.client_ev
local dialling = require("websocket.dialling")
local eventful = require("websocket.eventful")
local websockets = require("websockets")

local client = setmetatable({}, { __index = eventful })
client.__index = client

local ABNORMAL = 1006
-- lua-ev takes no timer of 0 seconds.
local AT_ONCE_SECONDS = 1e-6
-- 2.x has one text for each failure of an opening handshake.
local HANDSHAKE_FAILED = "accept failed"
local IN_HANDSHAKE = { handshake = true, status = true, redirect = true, closed = true, reset = true }

--- Sets the function that is called when the connection is open.
-- @tparam ?function fn `fn(ws, protocol, headers)`
function client:on_open(fn) self.handlers.open = fn end

-- Tells an error after the present call, as all events come.
local function tell_later(self, err)
  local timer = self.ev.Timer.new(function(loop, timer)
    timer:stop(loop)
    eventful.tell_error(self, err)
  end, AT_ONCE_SECONDS)
  timer:start(self.loop)
end

local function opened(self, ws)
  eventful.listen(self, ws)
  local handler = self.handlers.open
  if handler then handler(self, ws:get_protocol(), (select(2, ws:response()))) end
end

-- The connection has ended: before it was open, that is an error, unless `close` was called.
local function closed(self, code, reason, is_clean, why)
  self.context:destroy()
  if self.state ~= "CONNECTING" then return eventful.ended(self, code, reason, is_clean, why) end
  self.state = "CLOSED"
  local message = dialling.message(reason, why)
  eventful.tell_error(self, IN_HANDSHAKE[why] and HANDSHAKE_FAILED or message, reason, why)
end

local function dial(self, url, protocols, params)
  local context = websockets.context{ on_error = eventful.report }
  self.attachment = require("websockets.loop.ev").attach(context, self.loop)
  self.context = context
  local is_good, ws, message, code = pcall(context.connect, context, url, {
    protocols = dialling.protocols(protocols), origin = self.origin, tls = dialling.tls(params),
  })
  if not is_good or not ws then context:destroy() end
  if not is_good then error(ws, 3) end
  if not ws then return tell_later(self, dialling.message(message, code)) end
  self.state, self.ws = "CONNECTING", ws
  ws:on_open(function() opened(self, ws) end)
  ws:on_closed(function(_, ...) closed(self, ...) end)
end

--- Connects. `on_open` is called, or `on_error`.
-- @tparam string url `ws://…` or `wss://…`
-- @tparam[opt] string|{string,...} protocols that are offered
-- @tparam[opt] table params of LuaSec, for `wss://`
-- @treturn nil
-- @raise for a wrong URL
function client:connect(url, protocols, params)
  if self.state ~= "CLOSED" then return tell_later(self, "wrong state") end
  local scheme, why = dialling.place(url)
  if not scheme then return tell_later(self, why) end
  dial(self, url, protocols, params)
end

--- Sends a message; where the connection is not open, `on_error` hears it.
-- @tparam string message
-- @tparam[opt=TEXT] integer opcode
function client:send(message, opcode)
  local waits, why = eventful.send(self, message, opcode)
  if not waits then tell_later(self, why) end
end

--- Closes the connection; one that is not open yet at once.
-- @tparam[opt=1000] integer code
-- @tparam[opt] string reason
-- @tparam[opt=3] number timeout seconds for the peer's close frame; more than 5 count as 5
-- @treturn nil
function client:close(code, reason, timeout)
  if self.state ~= "CONNECTING" then return eventful.close(self, code, reason, timeout) end
  self.state = "CLOSING"
  self.ws:on_closed(function()
    self.context:destroy()
    eventful.ended(self, ABNORMAL, "", false, "")
  end)
  self.ws:close(0)
end

--- Makes a client.
-- @function websocket.client_ev
-- @tparam[opt] table options `loop` (lua-ev's default loop), `origin`: the value of the header Origin
-- @treturn client_ev
return function(options)
  local ev = require("ev")
  local self = eventful.init(setmetatable({}, client))
  self.ev, self.loop, self.origin = ev, options and options.loop or ev.Loop.default, options and options.origin
  return self
end
