--- Servers in processes of their own, for clients that block the spec's own process.
-- @module spec.support.scripted
local child = require("spec.support.child")
local socket = require("socket")

local scripted = {}
scripted.__index = scripted

local running = {}

local function start(script, argument)
  local program = child.start(("%s %s %s"):format(child.quote(child.this_lua()), script, child.quote(argument)))
  local self = setmetatable({ program = program, port = tonumber(program:expect("^port (%d+)")) }, scripted)
  self.url = ("ws://127.0.0.1:%d/"):format(self.port)
  running[#running + 1] = self
  return self
end

--- Start a raw server that takes steps.
-- @tparam string code Lua source; `server` has the functions of `spec/support/scripted_server.lua`
-- @treturn scripted `port`, `url`
function scripted.start(code)
  return start("spec/support/scripted_server.lua", code)
end

--- Start a server of this library.
-- @tparam string code Lua source of the function that gets new connections: `ws` and `context` are there
-- @treturn scripted `port`, `url`
function scripted.serve(code)
  return start("spec/support/scripted_context.lua", code)
end

--- Wait for what the server says next; an error of its script is raised.
-- @treturn string
function scripted:said()
  return self:expect("^said ?(.*)$")
end

--- Wait for the end of the script.
function scripted:done()
  self:expect("^(done)$")
end

--- Wait for a line.
-- @tparam string pattern
-- @treturn string what it captured
function scripted:expect(pattern)
  local found
  repeat
    local line = self.program:expect("^(.+)$")
    local err = line:match("^failed (.*)$")
    if err then error("the server's script: " .. err, 2) end
    found = line:match(pattern)
  until found
  return found
end

--- Let a script that waits by `await_signal` go on.
function scripted:go_on()
  assert(socket.connect("127.0.0.1", self.port)):close()
end

--- End all; for `after_each`.
function scripted.stop_all()
  for i = #running, 1, -1 do
    running[i].program:stop()
    running[i] = nil
  end
end

return scripted
