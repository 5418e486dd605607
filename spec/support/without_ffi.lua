--- A program whose LuaJIT has no ffi: a server and a client of its own exchange messages. It prints `name=value` lines.
-- @script without_ffi
package.path = "lua/?.lua;lua/?/init.lua;./?.lua;" .. package.path
package.loaded.ffi = nil
package.preload.ffi = function() error("no ffi here", 0) end

local client = require("spec.support.client")
local server = require("spec.support.server")
local websockets = require("websockets")

local function tell(name, value) print(name .. "=" .. tostring(value)) end

local s = server.start({ protocols = { echo = server.echo } })
local c = client.open(s, "echo")
local count = 0
for _, message in ipairs({
  { 1, "" }, { 1, "gr\195\188n \240\159\152\128" }, { 2, "\0\255" }, { 2, ("0123456789abcdef!"):rep(9000) },
  { 1, ("\226\130\172"):rep(3000) },
}) do
  c:write(message[1], message[2])
  local opcode, data = c:message()
  if opcode == message[1] and data == message[2] then count = count + 1 end
end
c:write(1, "\226\130")
tell("engine", websockets.engine)
tell("echoes", count)
tell("close", (c:close_code()))
tell("ffi", (pcall(require, "ffi")))
if server.is_native then
  local write = require("websockets.wire.native").write
  tell("write", debug.getinfo(write, "S").what)
end
server.stop_all()
