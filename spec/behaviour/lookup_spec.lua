--- Host names that the accelerator looks up beside the loop, with a resolver that answers when it is let.
-- @module spec.behaviour.lookup_spec

local child = require "spec.support.child"
local headers = require "spec.support.headers"
local inside = require "spec.support.inside"
local needs = require "spec.support.needs"
local luasocket = require "websockets.transport.luasocket"
local resolver = require "websockets.client.resolver"
local server = require "spec.support.server"

local WAIT_SECONDS = 30

describe("a look-up beside the loop", function()
  local no_localhost = needs.reason("a name service that knows localhost")

  local function loopback(addresses)
    assert.is_true(#addresses > 0)
    for _, address in ipairs(addresses) do
      assert.equal(address[1] == "tcp6" and "::1" or "127.0.0.1", address[2])
    end
  end

  it("is LuaSocket's without the accelerator, which waits", function()
    if no_localhost then pending(no_localhost) end
    loopback(luasocket.resolve("localhost"))
  end)

  if not server.is_native then
    if os.getenv("WEBSOCKETS_NATIVE") ~= "off" then pending("the accelerator, which is not there") end
    return
  end

  it("asks the system, and hears what LuaSocket would", function()
    if no_localhost then pending(no_localhost) end
    finally(server.stop_all)
    local s = server.start({})
    local wire = inside.look_up(s.context, "localhost")
    local answer, ended = "", nil
    s:pump(function()
      local bytes, why = wire:receive()
      answer, ended = answer .. (bytes or ""), why
      return ended == "closed"
    end, "the answer")
    wire:close()
    local addresses = resolver.read(answer)
    loopback(addresses)
    assert.same(luasocket.resolve("localhost"), addresses)
  end)

  local include = headers.folder()
  if not (include and child.has("gcc")) then
    pending(include and "needs gcc" or "needs the headers of this Lua")
    return
  end

  local folder, environment

  lazy_setup(function()
    folder = child.make_folder()
    local quoted = child.quote(folder)
    local text, code = child.run(("gcc -std=c99 -Wall -Wextra -Werror -O1 -shared -fPIC -o %s/resolver.so %s -ldl && "
      .. "gcc -std=c99 -Wall -Wextra -Werror -O1 -shared -fPIC -I%s -o %s/states.so %s && mkfifo %s/gate"):format(
      quoted, "spec/fixtures/resolver.c", child.quote(include), quoted, "spec/fixtures/states.c", quoted))
    assert(code == 0, text)
    local path = child.quote(folder .. "/?.so;" .. package.cpath)
    local version = _VERSION:match("%d+%.%d+"):gsub("%.", "_")
    environment = ("LUA_PATH=%s LUA_CPATH=%s LUA_CPATH_%s=%s RESOLVER_GATE=%s/gate LD_PRELOAD=%s/resolver.so"):format(
      child.quote("lua/?.lua;lua/?/init.lua;./?.lua;;"), path, version, path, quoted, quoted)
  end)
  lazy_teardown(function() child.remove_folder(folder) end)

  local function run(scenario)
    local command = child.quote(child.this_lua()) .. " spec/support/lookups.lua " .. scenario
    return child.start(command, environment, WAIT_SECONDS):rest()
  end

  it("holds up no other connection, and then tries one address after the other", function()
    assert.equal("answered 10\nopen 127.0.0.1\necho hello\nclosed 1001  destroyed\nclosed 1001  destroyed\nend\n",
      run("meanwhile"))
  end)

  it("works under an outside loop that watches for reading", function()
    assert.equal("echo hello\nclosed 1001  destroyed\nleft 0\nend\n", run("outside"))
  end)

  it("is done again for a connection that is opened again", function()
    assert.equal("open false\naway\nlook-up dialling\nopen true\nclosed 1001  destroyed\nend\n", run("again"))
  end)

  it("counts for the timeout of connecting", function()
    assert.matches("^after 2%.9\nafter 3%.1\nclosed 1006 no connection to gated%.invalid:%d+ in time timeout\n"
      .. "no threads left\nend\n$", run("timeout"))
  end)

  it("may be given up: by close, and with the context", function()
    assert.equal("closed 1006  closed\nclosed 1006  destroyed\nno threads left\nend\n", run("abandoned"))
  end)

  it("waits for its turn where eight are under way", function()
    assert.equal("threads 8\nno threads left\nclosed 1001  destroyed\nend\n", run("many"))
  end)

  it("may outlive the Lua state that asked for it", function()
    assert.equal("loaded true\nno threads left\nend\n", run("states"))
  end)
end)
