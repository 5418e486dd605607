--- An echo server for a flood of silent peers; `capacity_spec` starts it. It writes its port, then serves until it is
-- ended. The first argument names what runs out: `descriptors` (by the limit of the process), `select` or
-- `max_connections`; the second is the path of a file that it serves.
-- @script flooded_server
package.path = "lua/?.lua;lua/?/init.lua;./?.lua;" .. package.path

local inside = require("spec.support.inside")
local server = require("spec.support.server")
local websockets = require("websockets")

local ROOM = 100
local context = websockets.context({
  port = "any", interf = "127.0.0.1", protocols = { echo = server.echo },
  on_http = function(ws, uri)
    if uri == "/file" then return ws:serve_http_file(arg[2]) end
    ws:respond(200, nil, "ok")
  end,
  max_connections = arg[1] == "max_connections" and ROOM or nil,
})
if arg[1] == "select" then inside.limit_poller(context, ROOM) end
print("port " .. context:get_port())
io.stdout:flush()
context:run()
