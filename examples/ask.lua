-- Sends a message to a WebSocket server and prints what comes within two seconds: lua examples/ask.lua URL MESSAGE
local websockets = require("websockets")
local ws, message, code = websockets.connect(arg[1], { timeout = 2 })
if not ws then error(message .. " (" .. code .. ")", 0) end
ws:write(arg[2])
print(ws:receive(2))
ws:close()
