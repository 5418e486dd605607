--- The step of a dial that has a proxy lead on to the server.
-- @module websockets.client.tunnel
local http_tunnel = require("websockets.client.http_tunnel")
local socks_tunnel = require("websockets.client.socks_tunnel")

local tunnel = {}

local KINDS = { http = http_tunnel, socks5 = socks_tunnel }

local function send(ws, bytes)
  ws.wire:raw(bytes)
  ws.context.agenda:touch(ws)
end

local function fail(dial, ws, what)
  dial.fail(ws, ("no way to %s: %s %s"):format(dial.server.authority, dial.place.authority, what), "proxy")
end

--- Asks the proxy.
-- @tparam table dial
-- @tparam table ws
function tunnel.begin(dial, ws)
  local kind = KINDS[dial.place.protocol]
  dial.work = kind.new(dial.server, dial.place, { base64 = ws.context.engine.base64, limits = ws.settings })
  send(ws, dial.work:begin())
end

--- Takes bytes of the proxy.
-- @tparam table dial
-- @tparam table ws
-- @tparam string bytes
function tunnel.feed(dial, ws, bytes)
  local rest, more, is_denied = dial.work:feed(bytes)
  if rest then
    -- TLS is spoken on the descriptor, and a server says nothing before its client.
    if rest ~= "" and dial.server.is_secure then
      return fail(dial, ws, "sent bytes before the TLS handshake")
    end
    dial.place = dial.server
    dial:next_step(ws, rest)
  elseif rest == false then
    dial.is_denied = is_denied
    fail(dial, ws, more)
  elseif more then
    send(ws, more)
  end
end

--- Takes note that the proxy ended the connection.
-- @tparam table dial
-- @tparam table ws
function tunnel.ended(dial, ws)
  fail(dial, ws, "ended the connection instead of leading on")
end

return tunnel
