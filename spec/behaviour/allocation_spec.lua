--- Memory that is refused at a sample of the places of each scenario: the context serves on, everything comes back, and
-- nobody gets another's bytes. `make faults` tries every place.
-- @module spec.behaviour.allocation_spec
local agenda = require("websockets.connection.agenda")
local child = require("spec.support.child")
local faults = require("spec.support.faults")
local fixture = require("spec.support.fixture")
local server = require("spec.support.server")
local websocket = require("websockets.websocket")

local PLACES, SECONDS = 16, 0.4
-- LuaJIT itself reads a bad address where some of its own functions, as string.sub, find no memory.
local BESIDE = "SCENARIOS=%s KINDS=%s SAMPLES=%d SECONDS_EACH=%s %s spec/faults.lua"
local KILLED_BY_SIGNAL = 128

describe("a fault at any place", function()
  local missing = fixture.missing()
  if missing then
    pending(missing)
    return
  end

  local module, folder
  local met = 0

  lazy_setup(function() module, folder = fixture.load("faults", faults.FLAGS) end)
  lazy_teardown(function() child.remove_folder(folder) end)

  local function assert_harmless(name, kind)
    local result = faults.run(module, name, kind, { samples = PLACES, seconds = SECONDS })
    assert.same({}, result.wrong)
    met = met + result.met
  end

  -- In a process of its own, which may crash.
  local function assert_harmless_beside(name, kind)
    local lua = child.quote(child.this_lua())
    local text, code = child.run(BESIDE:format(name, kind, PLACES, SECONDS, lua))
    if code >= KILLED_BY_SIGNAL then return pending("LuaJIT itself crashes") end
    assert.matches("%d+ tried.*, 0 finds\n", text)
    assert.equal(0, code)
    met = met + 1
  end

  local check = jit and assert_harmless_beside or assert_harmless
  for _, name in ipairs(faults.names()) do
    it(("memory refused once: %s"):format(name), function() check(name, "once") end)
    it(("memory refused forty times: %s"):format(name), function() check(name, "often") end)
  end

  it("has been met in each scenario", function()
    assert.is_true(met >= (jit and 1 or 2) * #faults.names() - 8, met .. " places")
  end)

  it("does not keep connect from working later, where its modules could not be loaded", function()
    local name = "websockets.options.connect"
    local loaded, s = package.loaded[name], server.start({})
    finally(function()
      package.loaded[name], package.preload[name] = loaded, nil
      server.stop_all()
    end)
    package.loaded[name] = nil
    package.preload[name] = function() error("not enough memory", 0) end
    local url = ("ws://127.0.0.1:%d/"):format(s.port)
    assert.matches("not enough memory", select(2, pcall(s.context.connect, s.context, url)))
    package.preload[name] = nil
    assert.is_table(s.context:connect(url))
  end)

  it("is seen where an end is forgotten", function()
    local retire = agenda.retire
    function agenda.retire() end
    finally(function() agenda.retire = retire end)
    local result = faults.run(module, "ending", "once", { last = 3 })
    assert.matches("STUCK", table.concat(result.wrong, "\n"))
  end)

  it("is seen where bytes go to another connection", function()
    local write, last = websocket.write, nil
    function websocket.write(ws, ...)
      local to = last and last:get_socket_fd() ~= -1 and last or ws
      last = ws
      return write(to, ...)
    end
    finally(function() websocket.write = write end)
    local result = faults.run(module, "echo", "once", { last = 1 })
    assert.matches("FOREIGN", table.concat(result.wrong, "\n"))
  end)
end)
