--- The phase of a connection until the header of the PROXY protocol has come: before HTTP, and before TLS.
-- @module websockets.server.proxied
local connection = require("websockets.connection.connection")
local forwarded = require("websockets.protocol.forwarded")
local lifecycle = require("websockets.connection.lifecycle")
local proxy_header = require("websockets.protocol.proxy_header")
local secure = require("websockets.server.secure")

local proxied = {
  -- Nobody has asked for anything yet.
  stage = "proxy", request = false, head = false, shown = false,
}
proxied.__index = proxied

--- Makes the phase.
-- @tparam exchange exchange the phase that comes after it
-- @tparam ?table secured puts TLS on the socket before that: `certificates`, `handshakes`
-- @treturn proxied
function proxied.new(exchange, secured)
  return setmetatable({ exchange = exchange, secured = secured or false, bytes = "" }, proxied)
end

local function refuse(ws, why)
  ws.context.agenda:log("info", ("a connection of %s ends: %s"):format(connection.peer(ws), why))
  lifecycle.abort(ws, "protocol")
end

-- The transport has read nothing that comes after the header.
local function begin_tls(self, ws)
  local secured = self.secured
  local transport, why = secure.wrap(connection.detach(ws), secured.certificates, secured.handshakes)
  if not transport then return refuse(ws, why) end
  ws.phase = secure.new(self.exchange, secured.handshakes)
  connection.secure(ws, transport)
  ws.context.agenda:again(ws)
end

--- Takes bytes of the header, and what follows it.
-- @tparam table ws
-- @tparam string bytes may be empty
function proxied:feed(ws, bytes)
  if bytes == "" then return end
  local networks = ws.context.settings.trusted_proxies
  if networks and not forwarded.trusts(networks, connection.peer(ws)) then
    return refuse(ws, "it is none of trusted_proxies")
  end
  self.bytes = self.bytes .. bytes
  local after, found = proxy_header.read(self.bytes)
  if after == false then
    return refuse(ws, "proxy_protocol expects a header, and what has come is " .. found)
  elseif not after then
    if self.secured then ws.wire.transport:expect(found) end
    return
  end
  if found then ws.peer_ip = found end
  if self.secured then return begin_tls(self, ws) end
  ws.phase = self.exchange
  ws.phase:feed(ws, self.bytes:sub(after))
end

--- Takes note that the peer has gone.
-- @tparam proxied _
-- @tparam table ws
function proxied.ended(_, ws)
  lifecycle.abort(ws, "closed")
end

--- Takes note that the connection broke.
-- @tparam proxied _
-- @tparam table ws
-- @tparam string why
function proxied.failed(_, ws, why)
  lifecycle.abort(ws, why)
end

--- Follows a flush: nothing has been queued.
function proxied.flushed() end

--- Gives back what is held: nothing.
function proxied.release() end

return proxied
