--- Which library gives the sockets.
-- @module spec.unit.transport.sockets_spec
local child = require("spec.support.child")
local luasocket = require("websockets.transport.luasocket")
local sockets = require("websockets.transport.sockets")

local REFUSE = [[package.preload[%q] = function() error("module '%s' not found") end ]]

local FUNCTIONS = { "time", "sleep", "hostname", "placeholder", "connect", "new", "listen" }

-- What a new program is told that asks for sockets.
local function chosen_by(code, environment)
  local command = ("env -u WEBSOCKETS_SOCKETS %s %s -e "):format(environment or "", child.quote(child.this_lua()))
  return child.run(command .. child.quote([[package.path = "lua/?.lua;" .. package.path ]] .. code
    .. [[ local is_good, library = pcall(require("websockets.transport.sockets").choose)
    io.write(is_good and library.name or library) ]]))
end

local function without(...)
  local code = ""
  for _, name in ipairs({ ... }) do code = code .. REFUSE:format(name, name) end
  return code
end

local LIKE_LUV = [[package.preload.luv = function() return { new_tcp = function() end } end ]]

describe("websockets.transport.sockets", function()
  local chosen = sockets.choose()

  it("gives a library with all that a context needs", function()
    for _, name in ipairs(FUNCTIONS) do assert.is_function(chosen[name], name) end
    assert.is_function(chosen.look_up or chosen.resolve)
  end)

  it("gives descriptors, listening sockets, addresses and the time", function()
    local placeholder = chosen.placeholder()
    assert.is_true(placeholder:getfd() >= 0)
    placeholder:close()
    local listening = assert(chosen.listen("tcp4", "127.0.0.1", 0, 8))
    local _, port = listening:getsockname()
    assert.is_true(tonumber(port) > 0)
    local transport, why = chosen.connect({ "tcp4", "127.0.0.1" }, tonumber(port))
    assert.is_nil(why)
    transport:close()
    listening:close()
    assert.equal("string", type(chosen.hostname() or ""))
    local before = chosen.time()
    assert.is_true(not chosen.wall or math.abs(chosen.wall()() - before) < 5)
    chosen.sleep(0.02)
    assert.is_true(chosen.time() - before >= 0.015)
  end)

  it("is LuaSocket where it is there", function()
    assert.equal("luasocket", chosen_by(""))
    assert.equal("luasocket", chosen_by(LIKE_LUV))
  end)

  it("is luv where LuaSocket is not, under each name that it has", function()
    assert.equal("uv", chosen_by(without("socket") .. LIKE_LUV))
    assert.equal("uv", chosen_by(without("socket", "luv") .. LIKE_LUV:gsub("preload%.luv", "preload.uv")))
  end)

  it("is not luv where LuaSocket may be there: an interrupt or a lack of memory came while it was loaded", function()
    local broken = [[package.preload.socket = function() error(%q, 0) end ]]
    for _, why in ipairs({ "not enough memory", "interrupted" }) do
      local text = chosen_by(broken:format(why) .. LIKE_LUV)
      assert.equal("websockets needs LuaSocket, which cannot be loaded: " .. why, text)
    end
    -- As of one that was compiled for another Lua.
    assert.equal("uv", chosen_by(broken:format("error loading module 'socket.core' from file 'core.so'") .. LIKE_LUV))
  end)

  it("is that of Neovim inside of Neovim, also beside LuaSocket; other tables named vim do not count", function()
    assert.equal("uv", chosen_by("vim = { loop = {} } "))
    assert.equal("uv", chosen_by("vim = { uv = {} } "))
    assert.equal("luasocket", chosen_by("vim = {} "))
    assert.equal("luasocket", chosen_by("vim = 1 "))
  end)

  it("tells in one sentence what to install where there is none", function()
    assert.equal("websockets needs LuaSocket, which is not installed (luarocks install luasocket), "
      .. "or luv (luarocks install luv)", chosen_by(without("socket", "luv", "uv")))
    assert.equal("websockets needs LuaSocket, which cannot be loaded: broken",
      chosen_by([[package.preload.socket = function() error("broken\nmore", 0) end ]] .. without("luv", "uv")))
  end)

  it("is what WEBSOCKETS_SOCKETS says, if that is there", function()
    assert.equal("uv", chosen_by(LIKE_LUV, "WEBSOCKETS_SOCKETS=uv"))
    assert.equal("luasocket", chosen_by("vim = { loop = {} } ", "WEBSOCKETS_SOCKETS=luasocket"))
    local message = chosen_by(without("luv", "uv"), "WEBSOCKETS_SOCKETS=uv")
    assert.matches("^websockets needs luv .*luarocks install luv", message)
    assert.equal('WEBSOCKETS_SOCKETS is "tcp": "luasocket" or "uv" expected', chosen_by("", "WEBSOCKETS_SOCKETS=tcp"))
    assert.equal("luasocket", chosen_by("", "WEBSOCKETS_SOCKETS="))
  end)

  it("names what only LuaSocket can do", function()
    assert.is_nil(sockets.lack(luasocket, "TLS"))
    assert.equal("TLS needs LuaSocket, and this context has the sockets of libuv", sockets.lack({ name = "uv" }, "TLS"))
  end)
end)
