--- Unix sockets: listening at a path, and connecting to one.
-- @module spec.behaviour.unix_spec
local child = require("spec.support.child")
local facts = require("websockets.http.facts")
local fd_flags = require("spec.support.fd_flags")
local luasocket = require("websockets.transport.luasocket")
local peer = require("spec.support.peer")
local server = require("spec.support.server")
local websockets = require("websockets")

local can_make = luasocket.make("unix")
if can_make then can_make:close() end
if not can_make and not server.is_native then
  pending("needs LuaSocket with unix sockets")
  return
end

local folder

local function path(name) return folder .. "/" .. (name or "socket") end

local function exists(name)
  local _, code = child.run("test -S " .. child.quote(path(name)))
  return code == 0
end

local function mode_of(name)
  return (child.run("stat -c %a " .. child.quote(path(name))):gsub("%s", ""))
end

local function start(options)
  options = options or {}
  options.unix = options.unix or path()
  options.default = options.default or server.echo
  return server.start(options)
end

local function echo(s, url, options)
  local ws, log = peer.watch(s.context:connect(url, options))
  s:pump(function() return log.open == 1 or log.closed[1] end, "on_open")
  assert.same({}, log.closed)
  ws:write("hello")
  s:pump(function() return log.messages[1] end, "an echo")
  assert.same({ { "hello", 0 } }, log.messages)
  return ws, log
end

local function fails(url, message, word, options)
  local context = websockets.context({})
  local _, log = peer.watch(context:connect(url, options))
  for _ = 1, 100 do
    if not log.closed[1] then context:service(20) end
  end
  context:destroy()
  assert.same({ 1006, message, false, word }, log.closed[1])
end

local function remove_all()
  server.stop_all()
  child.remove_folder(folder)
end

describe("a unix socket", function()
  before_each(function() folder = child.make_folder() end)

  after_each(remove_all)

  it("is listened on by the option unix, and connected to by a URL ws+unix:", function()
    local seen
    local s = start({ on_handshake = function(request)
      seen = request
      return true
    end })
    assert.is_nil(s.context:get_port())
    echo(s, "ws+unix:" .. path())
    assert.same({ "/", "localhost" }, { seen.uri, seen.headers.host })
    local ws, log = echo(s, "ws+unix:" .. path() .. ":/path?query=%20")
    assert.same({ "/path?query=%20", "localhost" }, { seen.uri, seen.headers.host })
    assert.same({ "unix", "unix" }, { ws:get_peer_addresses() })
    ws:close(1000)
    s:pump(function() return log.closed[1] end, "on_closed")
    assert.same({ 1000, "", true, "closed" }, log.closed[1])
  end)

  it("shows to the server as the peer \"unix\"", function()
    local names
    local s = start({ default = function(ws)
      names = { ws:get_peer_addresses() }
      server.echo(ws)
    end })
    echo(s, "ws+unix:" .. path())
    assert.same({ "unix", "unix" }, names)
  end)

  it("carries a MiB in both directions, and ends by either side", function()
    local s = start()
    local ws, log = echo(s, "ws+unix:" .. path())
    local payload = ("x"):rep(1024 * 1024)
    ws:write(payload)
    s:pump(function() return log.messages[2] end, "an echo")
    assert.is_true(log.messages[2][1] == payload)
    local before = fd_flags.count()
    ws:close(0)
    s:pump(function() return log.closed[1] and fd_flags.count() == before - 2 end, "the end of both sockets")
  end)

  it("may be named by a path that is relative, or has signs that URLs lack", function()
    local s = start({ unix = path("with : and %") })
    echo(s, "ws+unix:" .. path("with%20%3A%20and%20%25"))
    local relative = ("../"):rep(10) .. path("other"):sub(2)
    s = start({ unix = relative })
    assert.is_true(exists("other"))
    echo(s, "ws+unix:" .. relative)
    s.context:destroy()
    assert.is_false(exists("other"))
    fails("ws+unix:not/there", "cannot connect to not/there: No such file or directory", "refused")
  end)

  it("is refused where no file is, nobody listens, or the file is none", function()
    fails("ws+unix:" .. path(), ("cannot connect to %s: No such file or directory"):format(path()), "refused")
    assert(io.open(path(), "w")):close()
    fails("ws+unix:" .. path(), ("cannot connect to %s: connection refused"):format(path()), "refused")
  end)

  it("whose server is silent ends with timeout", function()
    local other = start({ max_half_open = 5 })
    -- Nobody serves it.
    fails("ws+unix:" .. path(), ("no connection to %s in time"):format(path()), "timeout", { timeout = 0.2 })
    other:stop()
  end)

  it("gets the permissions of unix_mode", function()
    start({ unix = path("one"), unix_mode = "600" })
    start({ unix = path("two"), unix_mode = "0666" })
    start({ unix = path("three"), unix_mode = 660 })
    assert.same({ "600", "666", "660" }, { mode_of("one"), mode_of("two"), mode_of("three") })
  end)

  it("that cannot be made is an error", function()
    local is_good, err = pcall(start, { unix = path("not/there") })
    assert.is_false(is_good)
    assert.matches("websocket could not create context: cannot listen on .*: No such file or directory", err)
  end)

  it("works without LuaSocket's where the accelerator is, and says so where it is not", function()
    local make = luasocket.make
    luasocket.make = function(kind)
      if kind == "unix" then return nil, "this LuaSocket has no unix sockets (socket.unix)" end
      return make(kind)
    end
    finally(function() luasocket.make = make end)
    local is_good, s = pcall(start, { unix_mode = "600" })
    assert.equal(server.is_native, is_good)
    if not is_good then
      assert.matches("cannot listen on .*: this LuaSocket has no unix sockets %(socket%.unix%)", s)
      return
    end
    assert.equal("600", mode_of())
    echo(s, "ws+unix:" .. path())
    s.context:destroy()
    assert.is_false(exists())
  end)
end)

-- Without the accelerator and lua-filesystem, what is at a path is found out by opening it.
for _, are_facts_known in ipairs({ true, false }) do
  describe(("the file of a unix socket%s"):format(are_facts_known and "" or ", of which no facts are known"), function()
    local are_known, of = facts.are_known, facts.of

    before_each(function()
      folder = child.make_folder()
      if are_facts_known then return end
      facts.are_known, facts.of = function() return false end, function() return nil end
    end)

    after_each(function()
      remove_all()
      facts.are_known, facts.of = are_known, of
    end)

    it("goes away with its context", function()
      local s = start()
      assert.is_true(exists())
      local before = fd_flags.count()
      s.context:destroy()
      assert.is_false(exists())
      assert.is_true(fd_flags.count() < before)
    end)

    it("stays where it is another's by then", function()
      local s = start()
      os.remove(path())
      local other = start()
      s.context:destroy()
      assert.is_true(exists())
      echo(other, "ws+unix:" .. path())
      other.context:destroy()
      assert.is_false(exists())
    end)

    it("is replaced where nobody listens on it", function()
      -- A server that ends without a word.
      local program = ("require('websockets').context({ unix = %q, default = print }) os.exit(0)"):format(path())
      local made, code = child.run(("env %s %s -e %s"):format(child.library_path(), child.quote(child.this_lua()),
        child.quote(program)))
      assert.equal(0, code, made)
      assert.is_true(exists())
      local s = start()
      echo(s, "ws+unix:" .. path())
    end)

    it("is an error where a server listens on it", function()
      local s = start()
      local is_good, err = pcall(start)
      assert.is_false(is_good)
      assert.matches(("websocket could not create context: cannot listen on %s: address already in use")
        :format(path():gsub("%p", "%%%0")), err)
      echo(s, "ws+unix:" .. path())
    end)

    it("never takes the place of another kind of file", function()
      assert(io.open(path("file"), "w")):close()
      child.run("mkdir " .. child.quote(path("folder")) .. " && mkfifo " .. child.quote(path("fifo")))
      for _, name in ipairs({ "file", "folder", "fifo" }) do
        local is_good, err = pcall(start, { unix = path(name) })
        assert.is_false(is_good)
        assert.matches("something else is there", err)
        local _, code = child.run("test -e " .. child.quote(path(name)))
        assert.equal(0, code)
      end
    end)
  end)
end
