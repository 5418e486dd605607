--- The step of a dial that puts TLS on the connection, and verifies the server before anything is sent.
-- @module websockets.client.secure
local connection = require("websockets.connection.connection")
local descriptor = require("websockets.connection.descriptor")
local lifecycle = require("websockets.connection.lifecycle")
local luasec = require("websockets.transport.luasec")
local ration = require("websockets.client.ration")
local sockets = require("websockets.transport.sockets")
local tls_faults = require("websockets.client.tls_faults")
local trust = require("websockets.client.trust")
local verification = require("websockets.client.verification")

local secure = {}

local NO_TLS = {}

local function warn(ws, place)
  ws.context.agenda:log("warning", ("the certificate of %s is not verified: tls.verify is \"none\"")
    :format(place.authority))
end

--- Tells whether a wss connection can be opened: that LuaSec is there, and what the option `tls` names.
-- @tparam table context
-- @tparam table settings of `websockets.options.connect`
-- @treturn[1] userdata LuaSec context
-- @treturn[2] nil
-- @treturn[2] string message
-- @treturn[2] string `tls`
function secure.prepare(context, settings)
  local lack = sockets.lack(context.sockets, "TLS")
  if lack then return nil, lack, "tls" end
  return trust.context(context, settings.tls or NO_TLS)
end

local function step(dial, ws)
  local transport = ws.wire.transport
  local is_done, why, message = transport:handshake()
  if is_done then
    descriptor.block(ws, false)
    lifecycle.connected(ws)
    dial:next_step(ws)
  elseif why == "timeout" then
    local _, write = transport:wants()
    descriptor.block(ws, write)
  else
    dial.fail(ws, tls_faults.describe(dial.place, why, message))
  end
end

--- Puts TLS on the connection.
-- @tparam table dial
-- @tparam table ws
function secure.begin(dial, ws)
  local place, settings = dial.place, dial.given
  local tls_context, why, code = secure.prepare(ws.context, settings)
  if not tls_context then return dial.fail(ws, why, code) end
  local called = place.virtual_host or place
  local host, kind = called.host, called.kind
  local options = { server_name = kind == "name" and host:gsub("%.$", "") or nil }
  if trust.is_off(settings.tls or NO_TLS) then
    warn(ws, place)
  else
    options.on_secure = function(transport) return verification.judge(transport.socket, host, kind) end
  end
  local transport
  transport, why, code = luasec.new(connection.detach(ws), tls_context, options)
  if not transport then return dial.fail(ws, why, code) end
  lifecycle.secure(ws)
  connection.secure(ws, transport)
  -- A ClientHello costs little, and nothing would report that it waits.
  step(dial, ws)
end

--- Goes on with the TLS handshake. Where many connect at once, some wait for the next turn: the poller reports them
-- again.
-- @tparam table dial
-- @tparam table ws
function secure.advance(dial, ws)
  local context = ws.context
  context.tls_ration = context.tls_ration or ration.new(context)
  if context.tls_ration() then step(dial, ws) end
end

return secure
