--- Servers and clients inside of Neovim: on its own libuv, with and without the LuaSocket of the distribution.
-- @module spec.interop.neovim_spec
local child = require("spec.support.child")
local needs = require("spec.support.needs")
local server = require("spec.support.server")

-- Neovim has LuaJIT's modules.
if not rawget(_G, "jit") then return end

local PROGRAM = "timeout 60 nvim --headless -u NONE -i NONE -c 'luafile %s' -c 'qa!'"
local ENGINE = server.is_native and "native" or "pure"

local function environment(more)
  local accelerator = child.quote(package.cpath:match("[^;]*build/native[^;]*") or "")
  return ("-u WEBSOCKETS_SOCKETS ACCELERATOR=%s LUA_ROOT=%s LUA_MODULES=%s WEBSOCKETS_NATIVE=%s %s"):format(accelerator,
    child.quote(os.getenv("PWD")), child.quote(package.path), server.is_native and "on" or "off", more)
end

local function run(file, more)
  return child.run(("env %s "):format(environment(more)) .. PROGRAM:format(file))
end

describe("inside of Neovim", function()
  for _, way in ipairs({ "itself", "run", "service" }) do
    for _, has in ipairs({ "no", "yes" }) do
      it(("a server and its clients do all that others do, LuaSocket: %s, by %s"):format(has, way), function()
        local reason = needs.reason("Neovim")
        if reason then return pending(reason) end
        local output, code = run("spec/support/uv_scenario.lua", ("WAY=%s HAS_LUASOCKET=%s"):format(way, has))
        assert.equal(0, code, output)
        local got = {}
        for name, value in output:gmatch("([^\n\r=]+)=([^\n\r]*)") do got[name] = value end
        local expected = {
          library = "uv", engine = ENGINE, ["has LuaSocket"] = tostring(has == "yes"),
          sizes = "0 1 125 126 65535 65536 921600", broadcasts = "600", file = "true", ["echoes beside it"] = "true",
          deadlines = "true", timers = "true", clean = "30", log = "", done = "true",
          refused = "refused: cannot connect to 127.0.0.1:1: connection refused",
        }
        for name, value in pairs(expected) do assert.equal(value, got[name], name .. ":\n" .. output) end
        -- Neovim has a timer of its own for each wait.
        if way == "itself" then assert.is_true(tonumber(got["idle rounds a second"]) <= 6, output) end
      end)
    end
  end

  it("a server serves others' clients", function()
    local reason = needs.reason("Neovim", "the Python package websockets")
    if reason then return pending(reason) end
    local editor = child.start("nvim --headless -u NONE -i NONE -c 'luafile spec/fixtures/neovim.lua'",
      environment("SERVE=yes"))
    finally(function() editor:stop() end)
    local port = editor:expect("^port (%d+)")
    local output, code = child.run(".deps/venv/bin/python spec/support/interop.py " .. port)
    assert.equal(0, code, output)
    assert.matches("4001 bye true", editor:expect("^closed (.*)$"))
  end)

  it("what a callback raises is reported by Neovim, which goes on", function()
    local reason = needs.reason("Neovim")
    if reason then return pending(reason) end
    local output, code = run("spec/fixtures/neovim.lua", "RAISE=yes")
    assert.equal(0, code, output)
    assert.matches("from a callback", output)
    assert.matches("got from Neovim", output)
  end)

  it("a client connects on the sockets of the accelerator, beside LuaSocket", function()
    if not server.is_native then return end
    local reason = needs.reason("Neovim")
    if reason then return pending(reason) end
    local output, code = run("spec/fixtures/neovim.lua", "WEBSOCKETS_SOCKETS=luasocket")
    assert.equal(0, code, output)
    assert.matches("engine native, sockets luasocket, got from Neovim", output)
  end)
end)
