--- LuaJIT whose ffi is not there, as some programs have it: everything works, by other ways.
-- @module spec.behaviour.without_ffi_spec
local child = require("spec.support.child")
local websockets = require("websockets")

local it_jit = rawget(_G, "jit") and it or function() end

describe("without ffi", function()
  it_jit("messages of all sizes are masked, checked and sent", function()
    local text, code = child.run(child.quote(child.this_lua()) .. " spec/support/without_ffi.lua")
    assert.equal(0, code, text)
    local found = {}
    for name, value in text:gmatch("(%w+)=(%S+)") do found[name] = value end
    assert.same({
      engine = websockets.engine, echoes = "5", close = "1007", ffi = "false",
      -- With ffi it is a Lua function around one that LuaJIT can compile calls of.
      write = websockets.engine == "native" and "C" or nil,
    }, found)
  end)
end)
