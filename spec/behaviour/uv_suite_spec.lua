--- The specs of connections, once more over the sockets of libuv.
-- @module spec.behaviour.uv_suite_spec
local child = require("spec.support.child")

-- Those that need nothing but a server and its peers: no TLS, no descriptors of an outside loop.
local SPECS = {
  "answering", "connection", "deadlines", "ending", "exchange", "fragments", "full_queue", "half_closed", "keepalive",
  "limits", "reconnect", "refusal", "request", "response", "slow_end", "upgrade", "websocket", "writing",
}
local LEAST = 150

describe("over the sockets of libuv", function()
  if not pcall(require, "luv") then
    pending("needs lua-luv")
    return
  end

  it("connections do what they do over those of LuaSocket", function()
    local files = {}
    for i, name in ipairs(SPECS) do files[i] = "spec/behaviour/" .. name .. "_spec.lua" end
    local output, code = child.run(("env WEBSOCKETS_SOCKETS=uv timeout 170 %s spec/support/busted_start.lua %s"):format(
      child.quote(child.this_lua()), table.concat(files, " ")))
    assert.equal(0, code, output)
    assert.is_true(tonumber(output:match("(%d+) success")) >= LEAST, output)
  end)
end)
