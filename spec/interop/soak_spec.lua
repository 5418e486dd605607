--- The programs of `make soak` and `make soak-stalled` work: a few connections, for a few seconds.
-- @module spec.interop.soak_spec
local child = require("spec.support.child")
local needs = require("spec.support.needs")

local LUA = child.quote(child.this_lua())

-- They look into /proc.
local lacking = needs.reason("Linux")

describe("a soak", function()
  it("of a few connections leaves nothing behind", function()
    if lacking then pending(lacking) end
    local text, code = child.run(LUA .. " soak/soak.lua 0.08 60")
    assert.equal(0, code, text)
    assert.matches("soak: passed", text)
    assert.matches("came: .*talk %d+", text)
  end)

  it("of a few stalled peers has a bound", function()
    if lacking then pending(lacking) end
    local text, code = child.run(LUA .. " soak/stalled.lua 0.08 30")
    assert.equal(0, code, text)
    assert.matches("stalled peers: passed", text)
  end)
end)
