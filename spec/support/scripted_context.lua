--- A server of this library in a process of its own; `spec.support.scripted` starts it.
-- @script scripted_context
--
-- `lua spec/support/scripted_context.lua CODE` writes its port, then serves: CODE is run with each new `ws`.
package.path = "lua/?.lua;lua/?/init.lua;./?.lua;" .. package.path

local websockets = require("websockets")

io.stdout:setvbuf("line")
local handler = assert((loadstring or load)("local ws, context, say = ... " .. arg[1]))
local function say(...)
  local words = {}
  for i = 1, select("#", ...) do words[i] = tostring((select(i, ...))) end
  print("said " .. table.concat(words, " "))
end

local context
local function accept(ws) handler(ws, context, say) end

context = websockets.context({
  port = "any", interf = "127.0.0.1", default = accept, protocols = { chat = accept },
  max_message_bytes = 64 * 1024 * 1024,
})
print("port " .. context:get_port())
context:run()
