--- An echo server that tells how much memory it takes; `memory_spec` starts it.
-- @script idle_server
--
-- `lua spec/support/idle_server.lua WAY`: compression "off", "fresh" (no context is kept) or "kept"; or "peak": without
-- compression, and what it tells is the most memory that it ever took, nothing collected on purpose. Prints its port.
package.path = "lua/?.lua;lua/?/init.lua;" .. package.path

local websockets = require("websockets")

local WAYS = {
  off = false, peak = false, kept = { threshold = 0 },
  fresh = { threshold = 0, server_no_context_takeover = true, client_no_context_takeover = true },
}

local is_peak = arg[1] == "peak"

local function resident_kib()
  if not is_peak then
    collectgarbage()
    collectgarbage()
  end
  local file = assert(io.open("/proc/self/status"))
  local text = file:read("*a")
  file:close()
  return text:match((is_peak and "VmHWM" or "VmRSS") .. ":%s*(%d+)")
end

local messages = 0

-- What is measured is what connections hold, not how long garbage may lie.
local function answer(data)
  messages = messages + 1
  if messages % 20 == 0 and not is_peak then collectgarbage() end
  return data == "memory" and resident_kib() or data
end

local context = websockets.context({
  port = "any", interf = "127.0.0.1", compression = WAYS[arg[1]], ping_interval = false,
  default = function(ws)
    ws:on_receive(function(_, data, kind) ws:write(answer(data), kind) end)
  end,
})
io.stdout:write(("%d"):format(context:get_port()), "\n")
io.stdout:flush()
context:run()
