--- What marks itself as ready under libuv.
-- @module spec.unit.poller.uv_spec
local uv = require("spec.support.luv").library()
if not uv then
  describe("websockets.poller.uv", function() pending("needs lua-luv") end)
  return
end

local uv_poller = require("websockets.poller.uv")

local function socket_of(owner)
  return {
    owner = owner, reads = true, writes = false, is_marked = false, is_readable = function() return true end,
  }
end

describe("websockets.poller.uv", function()
  it("reports each socket that is marked, and goes on after one whose mark found no memory", function()
    local poller, readable = uv_poller.new(), {}
    finally(function()
      poller:close()
      uv.run("nowait")
    end)
    local marked, one = poller.marked, socket_of("one")
    poller.marked = setmetatable({}, { __newindex = function() error("not enough memory", 0) end })
    assert.is_false(pcall(poller.mark, poller, one))
    poller.marked = marked
    poller:mark(socket_of("other"))
    assert.same({ 1, 0 }, { poller.wait(poller.source, 0, {}, readable, {}) })
    poller:mark(one)
    assert.same({ 2, 0 }, { poller.wait(poller.source, 0, {}, readable, {}) })
    assert.same({ "other", "one" }, readable)
  end)
end)
