--- Memory that is refused while copas begins to wait for a descriptor.
-- @module spec.behaviour.copas_shortage_spec
local copas, missing = require("spec.support.copas").load()
if not copas then
  describe("copas", function() pending(missing) end)
  return
end

local host = require("websockets.loop.host")

describe("the driver of copas", function()
  it("begins to wait for a descriptor the next time, where it found no memory for a thread", function()
    local attach, addthread, driver = host.attach, copas.addthread, nil
    finally(function() host.attach, copas.addthread = attach, addthread end)
    function host.attach(_, made)
      driver = made
      return {}
    end
    local name = "websockets.loop.copas"
    local loaded = package.loaded[name]
    require(name).attach({})
    package.loaded[name] = loaded
    local threads = 0
    function copas.addthread() error("not enough memory", 0) end
    assert.same({ false, "not enough memory" }, { pcall(driver.watch, driver, 5, true, false) })
    function copas.addthread() threads = threads + 1 end
    driver:watch(5, true, false)
    driver:watch(5, true, false)
    assert.equal(1, threads)
  end)
end)
