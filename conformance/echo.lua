--- The echo server that a conformance suite tests: it sends every message back.
-- @script echo
--
-- `lua conformance/echo.lua [PORT]`: prints its engine and its port on one line; without a port the system chooses.
-- With the environment variable `CERTIFICATES`, a folder of `spec.support.certificates`, over TLS.
package.path = "./?.lua;" .. package.path

local peer = require("conformance.peer")
local websockets = require("websockets")

local options = peer.options()
options.port = tonumber(arg[1]) or "any"
options.interf = "127.0.0.1"
options.max_unfinished_total_bytes = 256 * 1024 * 1024
options.default = function(ws)
  ws:on_receive(function(_, data, kind) ws:write(data, kind) end)
end

local certificates = os.getenv("CERTIFICATES")
if certificates then options.tls = { certificate = certificates .. "/good.pem", key = certificates .. "/good.key" } end

local context = websockets.context(options)

io.stdout:write(websockets.engine, " ", ("%d"):format(context:get_port()), "\n")
io.stdout:flush()
context:run()
