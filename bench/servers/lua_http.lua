--- The benchmark's server on lua-http: `lua_http.lua --port N`.
local http_server = require("http.server")
local websocket = require("http.websocket")

local recipients = {}

local function each_message(ws, handle)
  local data, kind = ws:receive()
  while data do
    handle(data, kind)
    data, kind = ws:receive()
  end
end

local function fan_out(ws)
  recipients[ws] = true
  each_message(ws, function(data, kind)
    for recipient in pairs(recipients) do
      recipient:send(data, kind)
    end
  end)
  recipients[ws] = nil
end

local function echo(ws)
  each_message(ws, function(data, kind)
    ws:send(data, kind)
  end)
end

local function on_stream(_, stream)
  local ws = assert(websocket.new_from_stream(stream, assert(stream:get_headers())))
  assert(ws:accept({ protocols = { "fanout" } }))
  if ws.protocol == "fanout" then
    fan_out(ws)
  else
    echo(ws)
  end
  ws:close()
end

local server = assert(http_server.listen({
  host = "127.0.0.1",
  port = assert(tonumber(arg[2]), "usage: lua_http.lua --port N"),
  tls = false,
  onstream = on_stream,
  -- Connections that the generator drops are no news.
  onerror = function() end,
}))
assert(server:listen())
assert(server:loop())
