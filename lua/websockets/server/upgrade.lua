--- From an upgrade request to an open WebSocket: the checks, the application's decision, the answer.
-- @module websockets.server.upgrade
local compression = require("websockets.protocol.compression")
local connection = require("websockets.connection.connection")
local errors = require("websockets.errors")
local fields = require("websockets.http.fields")
local handshake = require("websockets.protocol.handshake")
local lifecycle = require("websockets.connection.lifecycle")
local origin = require("websockets.protocol.origin")
local response = require("websockets.server.response")

local upgrade = {}

local deeper = errors.deeper
local NOTHING = {}
local LOSS_LOG_SECONDS = 60
local UNSERVED = "400 Bad Request: the client offers no subprotocol that is served here\n"
local ANSWER_FIELDS = { protocol = true, headers = true, user = true }

-- Which handler an accepted client gets. The application's choice has been checked: nil leaves it to the client's
-- order.
local function choose(ws, offered, wanted)
  local settings = ws.settings
  if wanted == false then return settings.default end
  return handshake.choose(wanted and { wanted } or offered, settings.protocols, settings.default)
end

local function check_protocol(ws, wanted, name, level)
  local settings, exchange = ws.settings, ws.phase
  if wanted == nil or not exchange then return end
  if wanted == false then
    if not settings.default then error(name .. ": protocol = false needs a 'default' handler", level) end
    return
  end
  if not (settings.protocols and settings.protocols[wanted]) then
    error(("%s: protocol '%s' is none of 'protocols'"):format(name, tostring(wanted)), level)
  end
  for _, one in ipairs(exchange.offered or {}) do
    if one == wanted then return end
  end
  -- RFC 6455 4.1: the client must fail a connection with a subprotocol that it did not ask for.
  error(("%s: protocol '%s' was not offered by the client"):format(name, wanted), level)
end

--- Checks what the application accepts a client with.
-- @tparam table ws
-- @tparam ?table answer `protocol`, `headers`, `user`
-- @tparam string name of the public function
-- @tparam integer position of the argument
-- @tparam integer level of the caller, as for `error`; 0: there is none
-- @raise naming what is wrong
function upgrade.check_answer(ws, answer, name, position, level)
  if answer == nil then return end
  if type(answer) ~= "table" then errors.argument(position, name, "table", answer, deeper(level)) end
  for field in pairs(answer) do
    if not ANSWER_FIELDS[field] then
      errors.argument(position, name, "protocol, headers, user", field, deeper(level))
    end
  end
  check_protocol(ws, answer.protocol, name, deeper(level))
  fields.check(answer.headers, name, position, deeper(level), true)
end

--- Checks what the application turns a client away with.
-- @tparam ?integer status
-- @tparam ?table headers
-- @tparam ?string body
-- @tparam string name of the public function
-- @tparam integer position of the status among its arguments
-- @tparam integer level of the caller, as for `error`; 0: there is none
-- @raise naming what is wrong
function upgrade.check_refusal(status, headers, body, name, position, level)
  if status ~= nil and (type(status) ~= "number" or status % 1 ~= 0 or status < 300 or status > 599) then
    errors.argument(position, name, "status 300 to 599", status, deeper(level))
  end
  fields.check(headers, name, position + 1, deeper(level))
  if body ~= nil and type(body) ~= "string" then errors.argument(position + 2, name, "string", body, deeper(level)) end
end

--- Tells why a client can get no answer any more.
-- @tparam table ws
-- @tparam table request the application's
-- @treturn ?string nil where it waits for one
function upgrade.undecided(ws, request)
  local exchange = ws.phase
  if ws.state ~= "http" or exchange.stage ~= "handshake" or exchange.shown ~= request or exchange.decision then
    return "the client has its answer already, or has gone"
  end
end

local function open(ws, answer)
  local exchange = ws.phase
  local handler, subprotocol = choose(ws, exchange.offered, answer.protocol)
  local leftover = exchange.rest:sub(exchange.position)
  exchange.rest, exchange.position = "", 1
  exchange:account(ws)
  ws.head = exchange.head
  if answer.user ~= nil then ws.user = answer.user end
  if ws.paused then lifecycle.pause(ws, false) end
  local bytes = handshake.accept(ws.context.engine, exchange.request, subprotocol, answer.headers, exchange.extensions)
  connection.open(ws, bytes, leftover, subprotocol, handler, exchange.deflate)
end

local function carry_out(ws)
  local decision = ws.phase.decision
  if decision.answer then return open(ws, decision.answer) end
  response.refuse(ws, decision.status, decision.headers, decision.body)
end

-- Inside the hook the answer waits until the hook has returned: if it raises, the client is answered 500.
local function decide(ws, decision)
  local exchange = ws.phase
  exchange.decision = decision
  if not exchange.asking then carry_out(ws) end
end

--- Lets the client in.
-- @tparam table ws
-- @tparam ?table answer as `check_answer` took it
function upgrade.accept(ws, answer)
  decide(ws, { answer = answer or {} })
end

--- Turns the client away.
-- @tparam table ws
-- @tparam ?integer status
-- @tparam ?table headers
-- @tparam ?string body
function upgrade.refuse(ws, status, headers, body)
  decide(ws, { status = status or 403, headers = headers, body = body })
end

-- The time for a handshake begins anew, and the connection counts towards `max_half_open`.
local function await_decision(ws)
  lifecycle.deadline(ws, ws.context.half_open, response.refuse_for_now)
end

local function take_verdict(ws, verdict, ...)
  if ws.phase.decision then
    return carry_out(ws)
  elseif verdict == true then
    local answer = ...
    upgrade.check_answer(ws, answer, "on_handshake", 2, 0)
    upgrade.accept(ws, answer)
  elseif verdict == false then
    local status, headers, body = ...
    upgrade.check_refusal(status, headers, body, "on_handshake", 2, 0)
    upgrade.refuse(ws, status, headers, body)
  elseif verdict == "later" then
    await_decision(ws)
  else
    error(('on_handshake must return true, false or "later" (got %s)'):format(errors.describe(verdict)), 0)
  end
end

local function asked(ws, called, ...)
  if ws.phase then ws.phase.asking = false end
  if ws.state ~= "http" then return end
  if not called or not ws.context.agenda:call(ws, take_verdict, ws, ...) then
    if ws.state == "http" then response.refuse(ws, 500) end
  end
end

local function ask(ws, hook)
  local exchange, context = ws.phase, ws.context
  exchange.stage, exchange.decision, exchange.asking = "handshake", false, true
  asked(ws, context.agenda:call(ws, hook, context.request_of(ws)))
end

local function check_origin(ws)
  local context, origins, request = ws.context, ws.settings.origins, ws.phase.request
  local called, allowed
  if type(origins) == "function" then
    called, allowed = context.agenda:call(ws, origin.allows, origins, context.request_of(ws))
    if not called then return nil, 500 end
  else
    allowed = origin.allows(origins, request, ws.forwarded and ws.forwarded.host or nil)
  end
  if allowed then return true end
  context.agenda:log("warning", origin.refusal(origins, request.headers.origin))
  return nil, 403
end

--- Logs that an opening handshake has come incomplete, now and then: any peer can send such a request.
-- @tparam table context
-- @tparam table request
function upgrade.log_loss(context, request)
  local message = handshake.lost_on_the_way(request)
  if not message or context.now < context.loss_logged_at + LOSS_LOG_SECONDS then return end
  context.loss_logged_at = context.now
  context.agenda:log("warning", message)
end

--- Answers an upgrade request, the one that is due.
-- @rfc 6455 4.2
-- @tparam table ws
function upgrade.run(ws)
  local context, settings, exchange = ws.context, ws.settings, ws.phase
  if context.settings.router and not settings.protocols and not settings.default then
    return response.refuse(ws, 404)
  end
  local is_good, status, headers = handshake.check(exchange.request)
  if status == 426 then upgrade.log_loss(context, exchange.request) end
  if is_good then is_good, status = check_origin(ws) end
  if not is_good then return response.refuse(ws, status, headers) end
  exchange.offered, status = handshake.subprotocols(exchange.request)
  if not exchange.offered then return response.refuse(ws, status) end
  if not choose(ws, exchange.offered) then
    context.agenda:log("info", handshake.unserved(exchange.offered))
    return response.refuse(ws, 400, nil, UNSERVED)
  end
  exchange.deflate, exchange.extensions = compression.answer(context.settings.compression,
    exchange.request.headers["sec-websocket-extensions"], settings.slow_consumer == "close")
  if exchange.deflate == nil then return response.refuse(ws, 400) end
  if settings.on_handshake then return ask(ws, settings.on_handshake) end
  open(ws, NOTHING)
end

require("websockets.loading").interpret(upgrade.check_answer)

return upgrade
