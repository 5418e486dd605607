--- An accelerator that was built for another Lua or from other sources: refused with a clear error, and the pure engine
-- takes over. The processes are others, for what goes wrong here may be a crash.
-- @module spec.packaging.wrong_module_spec
local child = require("spec.support.child")

-- Modules for all Luas are there only where `make native` was asked for all of them.
local LUAS = { "lua5.1", "lua5.2", "lua5.3", "lua5.4", "lua5.5", "luajit" }
local OWN = jit and "luajit" or "lua" .. _VERSION:match("%d+%.%d+")
-- These two share their interface: each loads the module of the other, which then has to work.
local ALIKE = { ["lua5.1"] = "luajit", luajit = "lua5.1" }

local LOAD = [[
local loaded, why = pcall(require, "websockets_native")
io.write(loaded and "loaded" or "refused: " .. tostring(why))
]]
local SERVE = [[
local websockets = require("websockets")
local context = websockets.context({ port = "any", interf = "127.0.0.1", default = function() end })
context:service(0)
context:destroy()
io.write(websockets.engine)
]]

local function folder_of(lua)
  return child.run("pwd"):match("[^\n]+") .. "/build/native/" .. lua
end

local function exists(path)
  local file = io.open(path, "rb")
  if file then file:close() end
  return file ~= nil
end

-- Runs code under this Lua where only the module in a folder can be found.
local function run(folder, code, wish)
  local path = child.quote(folder .. "/?.so;;")
  return child.run(("env WEBSOCKETS_NATIVE=%s LUA_PATH='lua/?.lua;lua/?/init.lua;;' LUA_CPATH=%s %s -e %s"):format(
    wish, path, child.quote(child.this_lua()), child.quote(code)))
end

local function is_clear(message)
  return message:find("version mismatch", 1, true) or message:find("undefined symbol", 1, true)
    or message:find("incompatible numeric types", 1, true)
end

local function loads(test, other, folder)
  test(other .. ": shares its interface, loads and serves", function()
    assert.same({ "loaded", 0 }, { run(folder, LOAD, "") })
    assert.same({ "native", 0 }, { run(folder, SERVE, "on") })
  end)
end

local function is_refused(test, other, folder)
  test(other .. ": is refused with a clear error and no crash", function()
    local said, code = run(folder, LOAD, "")
    assert.equal(0, code, said)
    assert.matches("^refused: ", said)
    assert.truthy(is_clear(said), said)
  end)

  test(other .. ": leaves the pure engine at work", function()
    assert.same({ "pure", 0 }, { run(folder, SERVE, "") })
  end)

  test(other .. ": is told where the accelerator must be used", function()
    local said, code = run(folder, SERVE, "on")
    assert.equal(1, code, said)
    assert.matches("WEBSOCKETS_NATIVE=on, but: ", said, 1, true)
  end)
end

-- A module without a number was built before there were numbers. Both engines have to say the same of it.
local function run_stale(built, code, wish)
  return child.run(("env WEBSOCKETS_NATIVE=%s LUA_PATH='lua/?.lua;lua/?/init.lua;;' %s -e %s"):format(wish,
    child.quote(child.this_lua()), child.quote(([[
      package.loaded.websockets_native = { interface = %s }
    ]]):format(built and "function() return " .. built .. " end" or "nil") .. code)))
end

local CHOOSE = [[
  local function log(level, message) io.write(level, ": ", message, "\n") end
  local websockets = require("websockets")
  io.write(websockets.engine, "\n")
  for _ = 1, 2 do
    local context = websockets.context{ port = "any", interf = "127.0.0.1", default = function() end, log = log }
    context:service(0)
    context:destroy()
  end
]]

describe("an accelerator that was built from other sources", function()
  for _, case in ipairs({ { nil, "none" }, { 0, "0" }, { 1000000, "1000000" } }) do
    local said = "the accelerator was built from other sources (interface " .. case[2] .. ", this library needs "

    it("is not used: pure Lua is, and the log of each context tells why: " .. case[2], function()
      local text, code = run_stale(case[1], CHOOSE, "")
      assert.equal(0, code, text)
      local first, second = text:match("^pure\nwarning: (.-)\nwarning: (.-)\n$")
      assert.equal(first, second, text)
      assert.equal("the accelerator is not used: " .. said, (first:gsub("%d+%).*", "")))
      assert.matches("%d+%): run `make native` again, or install the rock again$", first)
    end)

    it("is an error with WEBSOCKETS_NATIVE=on: " .. case[2], function()
      local text, code = run_stale(case[1], CHOOSE, "on")
      assert.equal(1, code, text)
      assert.matches("WEBSOCKETS_NATIVE=on, but: " .. said, text, 1, true)
    end)

    it("is not looked at with WEBSOCKETS_NATIVE=off: " .. case[2], function()
      assert.same({ "pure\n", 0 }, { run_stale(case[1], CHOOSE, "off") })
    end)
  end

  it("is not what the log tells where there is none", function()
    local text, code = child.run(("env WEBSOCKETS_NATIVE= LUA_PATH='lua/?.lua;lua/?/init.lua;;' %s -e %s"):format(
      child.quote(child.this_lua()), child.quote([[
        package.cpath = package.cpath:gsub("[^;]*/build/native/[^;]*", "")
      ]] .. CHOOSE)))
    assert.same({ "pure\n", 0 }, { text, code })
  end)
end)

describe("an accelerator for another Lua", function()
  if os.getenv("WEBSOCKETS_NATIVE") ~= "on" then return end

  for _, other in ipairs(LUAS) do
    local folder = folder_of(other)
    local is_built = exists(folder .. "/websockets_native.so")
    local function test(name, body)
      it(name, is_built and body or function() pending("needs " .. folder .. "/websockets_native.so") end)
    end
    if other == OWN or ALIKE[OWN] == other then
      loads(test, other, folder)
    else
      is_refused(test, other, folder)
    end
  end
end)
