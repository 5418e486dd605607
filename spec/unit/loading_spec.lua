--- Modules that are loaded when they are first used.
-- @module spec.unit.loading_spec

local loading = require("websockets.loading")

local load = loading.load

local NAME = "websockets.not_there"

describe("a module that is loaded on first use", function()
  after_each(function() package.preload[NAME], package.loaded[NAME] = nil, nil end)

  it("is the one that require gives", function()
    assert.equal(require("websockets.http.uri"), load("websockets.http.uri"))
  end)

  it("can be tried again after an error", function()
    local module = {}
    local tries = 0
    package.preload[NAME] = function()
      tries = tries + 1
      if tries == 1 then error("not enough memory", 0) end
      return module
    end
    assert.has_error(function() load(NAME) end)
    assert.equal(module, load(NAME))
    assert.equal(2, tries)
  end)

  it("leaves modules that are loaded alone", function()
    local uri = require("websockets.http.uri")
    assert.has_error(function() load("websockets.nowhere") end)
    assert.equal(uri, package.loaded["websockets.http.uri"])
  end)
end)

describe("a module of others that may be absent", function()
  local OTHER, PART = "spec_not_there", "spec_not_there.part"

  after_each(function()
    for _, name in ipairs({ OTHER, PART }) do package.preload[name], package.loaded[name] = nil, nil end
  end)

  it("is the module, or nothing and why", function()
    assert.equal(string, loading.optional("string"))
    local module, why = loading.optional(OTHER)
    assert.is_nil(module)
    assert.matches("module '" .. OTHER .. "' not found", why)
  end)

  it("is not taken for absent where memory was refused, and is loaded the next time", function()
    local tries = 0
    package.preload[OTHER] = function() return { part = require(PART) } end
    package.preload[PART] = function()
      tries = tries + 1
      if tries == 1 then error("not enough memory", 0) end
      return "part"
    end
    local is_good, err = pcall(loading.optional, OTHER)
    assert.is_false(is_good)
    assert.matches("not enough memory", err)
    assert.same({ part = "part" }, loading.optional(OTHER))
  end)

  it("is not taken for absent by those that remember whether it is there", function()
    local fresh = {}
    for name, module in pairs({ lfs = "websockets.http.facts", ssl = "websockets.transport.tls_context" }) do
      local preload, loaded, real = package.preload[name], package.loaded[name], package.loaded[module]
      finally(function()
        package.preload[name], package.loaded[name], package.loaded[module] = preload, loaded, real
      end)
      package.loaded[module], package.loaded[name] = nil, nil
      fresh[name] = require(module)
      package.preload[name] = function() error("not enough memory", 0) end
      local ask = fresh[name].library or function() return fresh[name].of({}, ".") end
      assert.is_false(pcall(ask))
      package.loaded[name] = nil
      package.preload[name] = function()
        return { attributes = function() return { mode = "directory" } end }
      end
      assert.is_table(ask())
      package.preload[name], package.loaded[name], package.loaded[module] = preload, loaded, real
    end
  end)

  it("has messages() try again where memory was refused while it looked whether this Lua can suspend there", function()
    local name, tasks, wrap = "websockets.waiting.methods", require("websockets.waiting.tasks"), coroutine.wrap
    local real, calling = package.loaded[name], tasks.calling
    finally(function()
      package.loaded[name], tasks.calling = real, calling
      rawset(coroutine, "wrap", wrap)
    end)
    package.loaded[name] = nil
    local messages = require(name).messages
    function tasks.calling() end
    rawset(coroutine, "wrap", function() return function() error("not enough memory", 0) end end)
    local ws = { state = "open" }
    assert.same({ false, "not enough memory" }, { pcall(messages, ws) })
    rawset(coroutine, "wrap", function() return function() end end)
    assert.equal(ws, select(2, messages(ws)))
  end)
end)

describe("loading.interpret", function()
  local jit_here = rawget(_G, "jit")

  local function each(list)
    local count = 0
    for _ in pairs(list) do count = count + 1 end
    return count
  end

  -- How often LuaJIT compiles the function while it is called.
  local function compiled()
    local count, list = 0, { 1, 2, 3, a = 1, b = 2 }
    local function note(what, _, fn)
      if what == "start" and fn == each then count = count + 1 end
    end
    jit_here.attach(note, "trace")
    for _ = 1, 1000 do assert.equal(5, each(list)) end
    jit_here.attach(note)
    return count
  end

  it("keeps LuaJIT from compiling a function, and changes nothing elsewhere", function()
    if jit_here and jit_here.status() then
      assert.is_true(compiled() > 0)
      loading.interpret(each)
      jit_here.flush()
      assert.equal(0, compiled())
    else
      loading.interpret(each)
      assert.equal(1, each({ 1 }))
    end
  end)
end)
