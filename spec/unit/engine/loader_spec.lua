--- Which engine is chosen, by the environment and by what can be loaded.
-- @module spec.unit.engine.loader_spec

local loader = require "websockets.engine.loader"
local pure = require "websockets.engine.pure"

local NATIVE = "websockets.engine.native"

describe("websockets.engine.loader", function()
  local getenv, loaded = os.getenv, package.loaded[NATIVE]
  local wish

  -- luacheck: push ignore 122
  before_each(function()
    os.getenv = function(name) return name == "WEBSOCKETS_NATIVE" and wish or nil end
  end)

  after_each(function()
    os.getenv = getenv
    package.loaded[NATIVE], package.preload[NATIVE] = loaded, nil
  end)
  -- luacheck: pop

  -- An accelerator that can be loaded, or none.
  local function have(accelerator)
    package.loaded[NATIVE] = nil
    package.preload[NATIVE] = function()
      if not accelerator then error("no accelerator here", 0) end
      return accelerator
    end
  end

  it("takes the accelerator where it can be loaded, else pure Lua", function()
    wish = nil
    have({ name = "native" })
    assert.equal("native", loader.choose().name)
    have(nil)
    assert.equal(pure, loader.choose())
  end)

  it("takes pure Lua for 'off', and does not try to load the accelerator", function()
    wish = "off"
    package.loaded[NATIVE] = nil
    package.preload[NATIVE] = function() error("was tried") end
    assert.equal(pure, loader.choose())
  end)

  it("raises for 'on' where the accelerator cannot be loaded, and says why", function()
    wish = "on"
    have({ name = "native" })
    assert.equal("native", loader.choose().name)
    have(nil)
    local is_good, err = pcall(loader.choose)
    assert.is_false(is_good)
    assert.matches("WEBSOCKETS_NATIVE=on, but: ", err, 1, true)
    assert.matches("no accelerator here", err, 1, true)
  end)

  it("takes pure Lua to compress where the chosen engine cannot", function()
    local able = { can_compress = function() return true end }
    assert.equal(able, loader.that_compresses(able))
    assert.equal(pure, loader.that_compresses({}))
  end)
end)
