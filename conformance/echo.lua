--- The echo server that a conformance suite tests: every message comes back as it was.
-- @script echo
--
-- `lua conformance/echo.lua [PORT]`: prints its port on one line; without a port the system chooses. The limits are
-- raised for messages of 16 MiB in 65,536 fragments, which the suite sends.
local websockets = require("websockets")

local MIB = 1024 * 1024

local context = websockets.context({
  port = tonumber(arg[1]) or "any",
  interf = "127.0.0.1",
  max_message_bytes = 64 * MIB,
  max_fragments = 1000000,
  max_buffered_bytes = 256 * MIB,
  max_unfinished_total_bytes = 256 * MIB,
  -- A plain text on a compressed connection is right, but the suite cannot take it: all is compressed.
  compression = { threshold = 0 },
  default = function(ws)
    ws:on_receive(function(_, data, kind) ws:write(data, kind) end)
  end,
})

io.stdout:write(websockets.engine, " ", ("%d"):format(context:get_port()), "\n")
io.stdout:flush()
context:run()
