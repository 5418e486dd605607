--- The server that `fuzz/live/server.lua` attacks. Prints its port and its process id; `GET /state` tells its figures.
-- @script target
package.path = "./?.lua;lua/?.lua;lua/?/init.lua;" .. package.path

local engine = require("websockets.engine.loader").choose()
local inside = require("spec.support.inside")
local websockets = require("websockets")

local context
local errors = {}

local function echo(ws)
  ws:on_receive(function(_, data, kind) ws:write(data, kind) end)
end

-- It reads on in the next turn that has something to do for it.
local function pausing(ws)
  ws:on_receive(function(_, data, kind)
    ws:rx_flow_control(false)
    ws:write(data, kind)
    ws:rx_flow_control(true)
  end)
end

local waiting

-- Each is let in by the next one.
local function decide_later(request)
  local before = waiting
  waiting = request
  if before then before:accept() end
  return "later"
end

local function state()
  collectgarbage()
  collectgarbage()
  local pattern = "connections=%.0f buffered=%.0f unfinished=%.0f lua_kib=%.0f errors=%d %s"
  return pattern:format(inside.connections(context), inside.buffered(context), inside.budget(context),
    collectgarbage("count"), #errors, errors[1] or "")
end

local function on_http(ws, uri, method, _, body)
  if uri == "/state" then
    ws:respond(200, { ["Content-Type"] = "text/plain" }, state())
  elseif uri == "/stop" then
    ws:respond(200, {}, "")
    context:stop()
  elseif method == "POST" then
    ws:respond(200, {}, body)
  else
    ws:respond(404)
  end
end

context = websockets.context({
  port = "any", interf = "127.0.0.1", default = echo, protocols = { echo = echo, pausing = pausing }, on_http = on_http,
  on_error = function(err) errors[#errors + 1] = tostring(err) end,
  compression = engine.can_compress and engine.can_compress() or false,
  routes = { ["/later"] = { on_handshake = decide_later } },
  max_message_bytes = 100000, max_fragments = 100, max_unfinished_total_bytes = 4194304, max_body_bytes = 100000,
  max_half_open = 100, handshake_timeout = 2, keepalive_timeout = 2, body_timeout = 2, response_timeout = 2,
  ping_interval = 2, ping_timeout = 20, close_timeout = 1, max_buffered_bytes = 1048576,
})

local file = assert(io.open("/proc/self/stat"))
local pid = file:read("*a"):match("^%d+")
file:close()
io.stdout:write(("%s %d %s\n"):format(websockets.engine, context:get_port(), pid))
io.stdout:flush()
context:run()
context:destroy()
