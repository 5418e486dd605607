--- Flags of descriptors, as the system shows them.
-- @module spec.unit.transport.flags_spec
local flags = require "websockets.transport.flags"
local fd_flags = require "spec.support.fd_flags"
local server = require "spec.support.server"
local socket = require "socket"

describe("websockets.transport.flags", function()
  it("sets what is asked for and nothing else, or tells that it cannot", function()
    if not fd_flags.are_shown() then return pending("needs /proc/self/status") end
    local set_flags = server.is_native and require("websockets.engine.native").set_flags or nil
    local can_set = server.is_native or rawget(_G, "jit") ~= nil
    for _, wanted in ipairs({ { false, false }, { true, false }, { false, true }, { true, true } }) do
      local one = assert(socket.tcp4())
      local fd = math.floor(one:getfd())
      local before = fd_flags.of(fd)
      assert.equal(can_set, flags.set(fd, wanted[1], wanted[2], set_flags))
      local after = fd_flags.of(fd)
      assert.equal(before.never_blocks or can_set and wanted[1], after.never_blocks)
      assert.equal(can_set and wanted[2], after.closes_on_exec)
      one:close()
    end
  end)

  it("does nothing where there is no descriptor", function()
    assert.is_false(flags.set(-1, true, true))
  end)
end)
