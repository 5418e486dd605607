--- The server of `soak/stalled.lua`: 64 KiB a second to all its connections, every limit at its default. Prints its
-- engine, its port and its process id; `GET /state` tells its figures, `GET /go` has it begin, `GET /stop` ends it.
-- @script broadcaster
package.path = "./?.lua;lua/?.lua;lua/?/init.lua;" .. package.path

local inside = require("spec.support.inside")
local process = require("soak.process")
local socket = require("socket")
local websockets = require("websockets")

local SIZE_BYTES = 65536

local context
local sent, longest, ended = 0, 0, {}

local function subscribe(ws)
  ws:on_closed(function(_, code, _, _, why)
    local name = why or code
    ended[name] = (ended[name] or 0) + 1
  end)
end

local function state()
  local ends = {}
  for name, count in pairs(ended) do ends[#ends + 1] = ("%s %d"):format(name, count) end
  table.sort(ends)
  return ("sent=%d connections=%d buffered_kib=%d longest_ms=%d\nends: %s\n"):format(sent, inside.connections(context),
    math.floor(inside.buffered(context) / 1024), math.floor(longest * 1000), table.concat(ends, ", "))
end

-- The number of the message, then what fills it.
local function broadcast()
  sent = sent + 1
  local began = socket.gettime()
  context:broadcast("feed", ("%08d"):format(sent) .. ("x"):rep(SIZE_BYTES - 8))
  longest = math.max(longest, socket.gettime() - began)
end

local function on_http(ws, uri)
  if uri == "/go" then context:every(1, broadcast) end
  if uri == "/stop" then context:stop() end
  ws:respond(200, nil, state())
end

context = websockets.context({
  port = "any", interf = "127.0.0.1", protocols = { feed = subscribe, echo = function(ws)
    ws:on_receive(function(_, data, kind) ws:write(data, kind) end)
  end }, on_http = on_http, max_half_open = 20000,
})

io.stdout:write(("%s %d %d\n"):format(websockets.engine, context:get_port(), process.id()))
io.stdout:flush()
context:run()
context:destroy()
