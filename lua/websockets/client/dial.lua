--- Connections that this side opens. A dial is the phase of such a connection until it is open: it runs steps one after
-- another, and waits for none of them.
--
-- A step is a table of functions. `begin(dial, ws)` begins it, with `dial.work` for what it keeps. While it runs,
-- `advance(dial, ws)` follows whatever may have changed the state of the socket, `feed(dial, ws, bytes)` takes bytes,
-- `ended(dial, ws)` their end. `prepare(context, settings)` tells beforehand whether it can be done: true, or nil,
-- message, code. `release(dial, ws)` gives back what it holds where the connection ends meanwhile. A step leaves out
-- what it does not need. It goes on with `dial:next_step(ws)`, or ends the connection with
-- `dial.fail(ws, message, code)`. One deadline runs over all steps.
--
-- With the setting `speak` that is the last step: the connection becomes no WebSocket, but says what the step says.
-- With `is_aside` it is not counted among the connections of its context, which may be idle beside it.
--
-- `dial.server` is the place that the connection is for. `dial.place` is the one that the running step deals with: the
-- proxy as long as there is no tunnel, then the server. `dial.given` is what that server may have of the settings.
-- `dial.is_denied` tells whether a proxy refused our credentials, or lacked some.
-- @module websockets.client.dial
local connection = require("websockets.connection.connection")
local greet = require("websockets.client.greet")
local lifecycle = require("websockets.connection.lifecycle")
local load = require("websockets.loading").load
local proxies = require("websockets.client.proxy")
local reach = require("websockets.client.reach")
local refusal = require("websockets.client.refusal")
local tunnel = require("websockets.client.tunnel")
local url = require("websockets.protocol.url")

local dial = {}
dial.__index = dial

-- What keeps us from a proxy is told as the failure of the proxy, so that the server is not searched for it.
local AT_PROXY = { refused = "proxy", unreachable = "proxy", host = "proxy", closed = "proxy", reset = "proxy" }

local function steps_to(place, proxy, speak, sockets)
  local steps = { reach }
  if proxy then steps[2] = tunnel end
  -- What TLS needs is loaded where TLS is used.
  if place.is_secure and not sockets.is_plain then steps[#steps + 1] = load("websockets.client.secure") end
  if speak then
    steps[#steps + 1] = speak
  else
    steps[#steps + 1], steps[#steps + 2] = greet, refusal
  end
  return steps
end

-- `fresh` is for a socket that no connection owns yet. It is there from the beginning: a new field may find no memory,
-- and the socket would be lost.
local function new()
  return setmetatable({ redirect_count = 0, fresh = false, is_denied = false }, dial)
end

-- Decides which way leads to a server; nil and a message where a variable of the environment is wrong.
local function aim(self, place, settings, sockets)
  local proxy, why = proxies.choose(place, settings.proxy)
  if proxy == nil then return nil, why end
  self.server, self.place, self.given = place, proxy or place, settings
  self.steps = steps_to(place, proxy, settings.speak, sockets)
  self.at, self.step, self.work = 1, reach, false
  return true
end

--- Ends a connection that is not open yet.
-- @tparam table ws
-- @tparam string message for `on_closed`
-- @tparam string code word of `websockets.errors`
function dial.fail(ws, message, code)
  local self = ws.phase
  if self.place ~= self.server then code = AT_PROXY[code] or code end
  lifecycle.abort(ws, code, message)
end

-- Whether each step can be done here, as far as that is known before anything is begun.
local function prepare(self, context, settings)
  for _, step in ipairs(self.steps) do
    local is_ready, why, code = true, nil, nil
    if step.prepare then is_ready, why, code = step.prepare(context, settings) end
    if not is_ready then return nil, why, code end
  end
  return true
end

--- Begins the next step.
-- @tparam table ws
-- @tparam[opt=""] string bytes that came already and are for that step
function dial:next_step(ws, bytes)
  -- A callback of an outside loop may have ended the connection.
  if ws.state == "closed" then return end
  self.at = self.at + 1
  self.step, self.work = self.steps[self.at], false
  self.step.begin(self, ws)
  if bytes and bytes ~= "" and ws.state ~= "closed" then self:feed(ws, bytes) end
end

--- Begins anew with the first step; what the connection has is given up. The deadline goes on.
-- @tparam table ws
-- @tparam table place of `websockets.protocol.url`
-- @tparam[opt] table given settings, in place of those of before
function dial:start_again(ws, place, given)
  lifecycle.dial_again(ws)
  local is_known, why = aim(self, place, given or self.given, ws.context.sockets)
  if not is_known then return dial.fail(ws, why, "proxy") end
  reach.begin(self, ws)
end

--- Goes on, whenever the state of the socket may have changed.
-- @tparam table ws
function dial:advance(ws)
  if self.step.advance then self.step.advance(self, ws) end
end

--- Takes bytes.
-- @tparam table ws
-- @tparam string bytes empty where none have come
function dial:feed(ws, bytes)
  if bytes == "" then return self:advance(ws) end
  self.step.feed(self, ws, bytes)
end

--- Takes note that the other side ended the connection.
-- @tparam table ws
function dial:ended(ws)
  self.step.ended(self, ws)
end

--- Takes note that the connection broke.
-- @tparam table ws
-- @tparam string why `reset`, `tls`, `closed`
-- @tparam ?string message of the transport
function dial:failed(ws, why, message)
  if why == "closed" then return self:ended(ws) end
  -- In TLS 1.3 a server judges a client's certificate after the TLS handshake.
  if why == "tls" then message, why = load("websockets.client.tls_faults").describe(self.place, why, message) end
  dial.fail(ws, message, why)
end

--- Follows a flush.
-- @tparam table ws
function dial:flushed(ws)
  self:advance(ws)
end

--- Gives back what is held.
-- @tparam table ws
function dial:release(ws)
  if self.step.release then self.step.release(self, ws) end
end

local function expire(ws)
  local self = ws.phase
  -- An error has left the timer of a try that ended.
  if not self then return end
  local message = ("no connection to %s in time"):format(url.label(self.server))
  if self.place ~= self.server then message = ("%s, by way of %s"):format(message, self.place.authority) end
  dial.fail(ws, message, "timeout")
end

-- Opens a connection again, after a time without one.
local function redial(ws, place)
  local self = new()
  local is_known, why = aim(self, place, ws.settings, ws.context.sockets)
  -- `ws:response` tells of this try from here on.
  ws.answer = nil
  lifecycle.redial(ws, self, ws.settings.timeout, expire)
  if not is_known then return dial.fail(ws, why, "proxy") end
  reach.begin(self, ws)
end

local function begin(self, ws, comeback)
  if comeback then comeback:follow(ws) end
  reach.await(self, ws)
end

local function start(self, context, transport, given, comeback)
  local ws = connection.new(context, transport, transport:getfd(), self, given)
  self.fresh = false
  local is_good, err = pcall(begin, self, ws, comeback)
  if is_good then return ws end
  connection.undo(ws)
  error(err, 0)
end

local function open(self, context, settings)
  -- Made first: an error after the transport is opened could lose it.
  local given = { settings = settings, expire = expire }
  local comeback = settings.reconnect
    and load("websockets.client.comeback").new(settings.reconnect, context.engine, self.server, redial)
  local transport, why, code = prepare(self, context, settings)
  if transport then transport, why, code = reach.open(self, context) end
  if not transport then return nil, why, code end
  return start(self, context, transport, given, comeback)
end

--- Opens a connection.
-- @tparam table context
-- @tparam table place of `websockets.protocol.url`
-- @tparam table settings of `websockets.options.connect`
-- @treturn[1] table ws
-- @treturn[2] nil
-- @treturn[2] string message
-- @treturn[2] string `limit`; `proxy`: a variable of the environment names a proxy that cannot be used; `tls`: no TLS
-- can be had
function dial.connect(context, place, settings)
  local self = new()
  local is_known, fault = aim(self, place, settings, context.sockets)
  if not is_known then return nil, fault, "proxy" end
  local is_good, ws, why, code = pcall(open, self, context, settings)
  if is_good then return ws, why, code end
  -- No connection owns it yet.
  if self.fresh then self.fresh:close() end
  error(ws, 0)
end

return dial
