--- The rockspec installs a library that works from any folder, and leaves nothing behind where it was built.
-- @module spec.packaging.rock_spec

local needs = require "spec.support.needs"
local socket = require "socket"

local ROCKSPEC = "rockspecs/lua-websockets-scm-1.rockspec"
local WAIT_SECONDS = 30
local SERVER = [[
local websockets = require "websockets"
local socket = require "socket"
local context = websockets.context{
  port = "any",
  interf = "127.0.0.1",
  default = function(ws)
    ws:on_receive(function(ws, data, type) ws:write(data, type) end)
  end,
}
io.stdout:write(debug.getinfo(websockets.context, "S").source, "\n", websockets.engine, "\n", context:get_port(), "\n")
io.stdout:flush()
local ends = socket.gettime() + 30
while socket.gettime() < ends do context:service(100) end
context:destroy()
]]
-- The examples of RFC 6455, sections 1.3 and 5.7.
local REQUEST = "GET /chat HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
  .. "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
local ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
local MASKED_HELLO = "\129\133\55\250\33\61\127\159\77\81\88"
local HELLO = "\129\5Hello"

local function quote(word)
  return "'" .. word:gsub("'", "'\\''") .. "'"
end

-- What the command wrote, and its exit code.
local function run(command)
  local pipe = assert(io.popen("{ " .. command .. "; } 2>&1 </dev/null; printf '\\n%d' $?", "r"))
  local text, code = pipe:read("*a"):match("^(.*)\n(%d+)$")
  pipe:close()
  return text, tonumber(code)
end

local function must(command)
  local text, code = run(command)
  assert(code == 0, command .. "\n" .. text)
  return text
end

local function this_lua()
  local first = -1
  while arg[first - 1] do first = first - 1 end
  return (must("command -v " .. quote(arg[first])):gsub("%s+$", ""))
end

local function listing(folder)
  return must("cd " .. quote(folder) .. " && find . | LC_ALL=C sort")
end

local function write_file(path, text)
  local file = assert(io.open(path, "w"))
  file:write(text)
  file:close()
end

-- LUA_PATH_5_4 and its like would win over LUA_PATH.
local function environment(tree, version)
  local share, lib = tree .. "/share/lua/" .. version, tree .. "/lib/lua/" .. version
  local unset = "env"
  for minor = 2, 5 do unset = ("%s -u LUA_PATH_5_%d -u LUA_CPATH_5_%d"):format(unset, minor, minor) end
  return unset .. " LUA_PATH=" .. quote(share .. "/?.lua;" .. share .. "/?/init.lua;;")
    .. " LUA_CPATH=" .. quote(lib .. "/?.so;;") .. " "
end

local function read_response(client)
  local lines = {}
  repeat
    local line = assert(client:receive("*l"))
    lines[#lines + 1] = line
  until line == ""
  return table.concat(lines, "\n")
end

describe("packaging", function()
  local version = _VERSION:match("%d+%.%d+")
  local lua, folder, copy, tree, target, found, is_installed
  local is_native = os.getenv("WEBSOCKETS_NATIVE") == "on"
  local missing = needs.reason("LuaRocks")
  local function it_packs(name, body)
    it(name, missing and function() pending(missing) end or body)
  end

  local function luarocks(arguments)
    return ("cd %s && CARGO_TARGET_DIR=%s luarocks --lua-version=%s %s --tree %s"):format(quote(copy), quote(target),
      version, arguments, quote(tree))
  end

  local function make_rock()
    is_installed = true
    return must(luarocks("make --deps-mode=none " .. ROCKSPEC) .. found)
  end

  -- For tests that ask what has been installed.
  local function need_rock()
    if not is_installed then make_rock() end
  end

  -- As where there is no Rust.
  local function make_rock_without_cargo()
    is_installed = false
    return must("WEBSOCKETS_NATIVE= PATH=" .. quote(folder .. "/bin") .. ":$PATH; export PATH WEBSOCKETS_NATIVE; "
      .. luarocks("make --deps-mode=none " .. ROCKSPEC) .. found)
  end

  setup(function()
    lua = this_lua()
    -- What LuaRocks does not find by the version alone.
    found = (jit or version == "5.5") and " LUA=" .. quote(lua) or ""
    if version == "5.5" then found = found .. " LUA_INCDIR=" .. quote(lua:match("^(.*)/") .. "/include") end
    folder = must("mktemp -d"):match("[^\n]+")
    copy, tree = folder .. "/clone", folder .. "/tree"
    must(("mkdir %s %s %s"):format(quote(copy), quote(folder .. "/elsewhere"), quote(folder .. "/bin")))
    must("cp -R lua rockspecs native Cargo.toml Cargo.lock LICENSE " .. quote(copy))

    write_file(folder .. "/bin/cargo", "#!/bin/sh\nexit 1\n")
    must("chmod +x " .. quote(folder .. "/bin/cargo"))
    -- What other builds have compiled already serves again; and nothing is written where the clone is.
    target = is_native and must("pwd"):match("[^\n]+") .. "/target" or folder .. "/none"
  end)

  teardown(function()
    run("rm -rf " .. quote(folder))
  end)

  it_packs("has a rockspec that LuaRocks finds nothing to say against", function()
    must("luarocks lint " .. ROCKSPEC)
  end)

  it_packs("installs from a clone and leaves no file in it", function()
    local before = listing(copy)
    local said = make_rock()
    local name = jit and "LuaJIT" or "Lua " .. version
    assert.matches(is_native and "the accelerator for " .. name .. " is built"
      or "installing the pure Lua engine for " .. name, said, 1, true)
    if is_native then assert.matches("cargo compiles the accelerator for " .. name .. "; .-\n.*is built", said) end
    assert.equal(before, listing(copy))
    assert.equal(listing(copy .. "/lua"), listing(tree .. "/share/lua/" .. version))
    local _, code = run("test -e " .. quote(tree .. "/lib/lua/" .. version .. "/websockets_native.so"))
    assert.equal(is_native and 0 or 1, code)
  end)

  it_packs("installs the pure engine, loudly, where the accelerator cannot be built unless it must be", function()
    local said = make_rock_without_cargo()
    assert.matches("WITHOUT the accelerator", said, 1, true)
    assert.matches("installing the pure Lua engine for", said, 1, true)
    local wish = "WEBSOCKETS_NATIVE=on CARGO_TARGET_DIR=" .. quote(folder .. "/none")
    local text, code = run(("cd %s && PATH=%s:$PATH %s %s rockspecs/build.lua build"):format(quote(copy),
      quote(folder .. "/bin"), wish, quote(lua)))
    assert.equal(1, code)
    assert.matches("WITHOUT the accelerator", text, 1, true)
  end)

  it_packs("serves an echo from another folder with what was installed", function()
    need_rock()
    local script = folder .. "/server.lua"
    write_file(script, SERVER)
    local server = assert(io.popen("cd " .. quote(folder .. "/elsewhere") .. " && echo $$ && exec "
      .. environment(tree, version) .. quote(lua) .. " " .. quote(script) .. " 2>&1 </dev/null", "r"))
    local pid = server:read("*l")
    finally(function()
      run("kill " .. pid)
      server:close()
    end)
    local source, engine, port = server:read("*l"), server:read("*l"), server:read("*l")
    assert(tonumber(port), tostring(source) .. "\n" .. tostring(port))
    assert.equal("@" .. tree, source:sub(1, #tree + 1))
    assert.equal(is_native and "native" or "pure", engine)

    local client = assert(socket.connect("127.0.0.1", tonumber(port)))
    client:settimeout(WAIT_SECONDS)
    assert(client:send(REQUEST))
    local response = read_response(client)
    assert.matches("^HTTP/1%.1 101 ", response)
    assert.matches(ACCEPT, response, 1, true)
    assert(client:send(MASKED_HELLO))
    assert.equal(HELLO, (client:receive(#HELLO)))
    client:close()
  end)

  it_packs("has the API of 2.x in the same rock, under its name", function()
    need_rock()
    local program = "print(require('websocket').client.new().state, require('websocket.frame').decode('\\129\\1a'), "
      .. "debug.getinfo(require('websocket.sync').extend, 'S').source)"
    local said = must(("cd %s && %s %s -e %s"):format(quote(folder .. "/elsewhere"), environment(tree, version),
      quote(lua), quote(program)))
    assert.equal("CLOSED\ta\t@" .. tree .. "/share/lua/" .. version .. "/websocket/sync.lua\n", said)
  end)

  it_packs("is removed without a trace", function()
    need_rock()
    is_installed = false
    must(luarocks("remove --deps-mode=none lua-websockets"))
    for _, name in ipairs({ "websockets.lua", "websocket.lua" }) do
      local _, code = run("test -e " .. quote(tree .. "/share/lua/" .. version .. "/" .. name))
      assert.equal(1, code)
    end
  end)

  it("tells how the build script is called", function()
    local said, code = run(quote(lua) .. " rockspecs/build.lua nonsense")
    assert.equal(2, code)
    assert.matches("usage:", said)
  end)
end)
