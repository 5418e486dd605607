--- Sockets that systemd passes on, and what it is told. `systemd-socket-activate` does what systemd does.
-- @module spec.interop.systemd_spec

local child = require "spec.support.child"
local client = require "spec.support.client"
local needs = require "spec.support.needs"
local ports = require "spec.support.ports"
local server = require "spec.support.server"
local websockets = require "websockets"

-- Serves what it is passed on, and says which port that is, and who asked.
local PROGRAM = [[
local context
context = require("websockets").context{ socket = %q, on_http = function(ws, uri)
  if uri == "/drain" then context:drain(10) end
  if uri == "/flags" then return ws:respond(200, nil, io.open("/proc/self/fdinfo/3"):read("*a")) end
  ws:respond(200, nil, tostring(context:get_port()) .. " " .. ws:get_peer_addresses())
end }
context:run()
]]

local function environment()
  local list = {}
  for _, name in ipairs({ "LUA_CPATH", "WEBSOCKETS_NATIVE", "NOTIFY_SOCKET" }) do
    local value = os.getenv(name)
    if value then list[#list + 1] = name .. "=" .. child.quote(value) end
  end
  return table.concat(list, " ") .. " " .. child.library_path()
end

local function quoted_lua(program)
  return child.quote(child.this_lua()) .. " -e " .. child.quote(program)
end

local activation = needs.reason("systemd-socket-activate") and pending or it

describe("socket = \"systemd\"", function()
  local started, folder

  before_each(function() started, folder = {}, child.make_folder() end)

  after_each(function()
    for _, program in ipairs(started) do program:stop() end
    server.stop_all()
    child.remove_folder(folder)
  end)

  local function activate(addresses, name, more, also)
    local command = "systemd-socket-activate " .. (more or "")
    for _, address in ipairs(addresses) do command = command .. " -l " .. child.quote(address) end
    local program = child.start(("%s /usr/bin/env %s %s %s"):format(command, environment(), also or "",
      quoted_lua(PROGRAM:format(name))))
    started[#started + 1] = program
    for _ = 1, #addresses do program:expect("Listening on (.*)") end
    return program
  end

  -- A client of another process: nothing is to be served here.
  local function ask(port, target)
    local c = client.connect({ port = port, clients = {}, pump = server.pump, turn = function() end })
    c:send(client.request(target or "/", "Connection: close\r\n"))
    local status, _, body = c:response()
    c:close()
    return status, body
  end

  activation("serves the socket, one connection after the other", function()
    local port = ports.closed()
    activate({ "127.0.0.1:" .. port }, "systemd")
    for _ = 1, 3 do assert.same({ 200, port .. " 127.0.0.1" }, { ask(port) }) end
  end)

  -- O_NONBLOCK, without which several processes that accept from it would wait for each other.
  activation("makes it non-blocking", function()
    local port = ports.closed()
    activate({ "127.0.0.1:" .. port }, "systemd")
    local _, text = ask(port, "/flags")
    assert.matches("flags:%s+%d*[4567]%d%d%d\n", text)
  end)

  activation("serves a unix socket", function()
    local reason = needs.reason("curl")
    if reason then return pending(reason) end
    local path = folder .. "/socket"
    activate({ path }, "systemd")
    local text = child.run(("curl -s --max-time 20 --unix-socket %s http://localhost/"):format(child.quote(path)))
    assert.equal("nil unix", text)
  end)

  activation("chooses one of several by its name", function()
    local first, second = ports.closed(), ports.closed()
    activate({ "127.0.0.1:" .. first, "127.0.0.1:" .. second }, "systemd:admin", "--fdname=web:admin")
    assert.same({ 200, second .. " 127.0.0.1" }, { ask(second) })
  end)

  activation("says what is wrong with several sockets without a name, and with a name that is not there", function()
    for name, message in pairs({
      systemd = "systemd has passed 2 sockets: choose one by \"systemd:NAME\"",
      ["systemd:other"] = "systemd has passed no socket of the name 'other' (there are: web:admin)",
    }) do
      local first, second = ports.closed(), ports.closed()
      local program = activate({ "127.0.0.1:" .. first, "127.0.0.1:" .. second }, name, "--fdname=web:admin")
      local c = client.connect({ port = first, clients = {}, pump = server.pump, turn = function() end })
      local text = program:rest()
      c:close()
      assert.truthy(text:find("websocket could not create context: " .. message, 1, true), text)
    end
  end)

  -- What of a program that is started with these variables comes out.
  local function started_with(variables)
    return (child.run(("env %s %s %s"):format(variables, environment(), quoted_lua(PROGRAM:format("systemd")))))
  end

  it("raises where there is none, where it is for another process, and where it is no socket", function()
    assert.error_matches(function() websockets.context({ socket = "systemd" }) end,
      "websocket could not create context: systemd has passed no socket: LISTEN_FDS is not set")
    assert.error_matches(function() websockets.context({ socket = "launchd" }) end,
      "bad option 'socket' %(listening LuaSocket object, \"systemd\", \"systemd:NAME\" or \"worker\" expected")
    local text
    for value, shown in pairs({ x = '"x"', ["-1"] = '"-1"', ["0"] = '"0"', ["1.5"] = '"1.5"', ["0x1"] = '"0x1"' }) do
      text = started_with("LISTEN_PID=1 LISTEN_FDS=" .. value)
      assert.truthy(text:find("systemd has passed no socket: LISTEN_FDS is " .. shown, 1, true), text)
    end
    text = started_with("LISTEN_FDS=1 LISTEN_PID=1")
    assert.truthy(text:find("the sockets of systemd are for another process: LISTEN_PID is not its own", 1, true), text)
    text = started_with("LISTEN_FDS=1")
    assert.truthy(text:find("the sockets of systemd are for another process: LISTEN_PID is not set", 1, true), text)
    text = started_with("LISTEN_FDS=1 LISTEN_PID=x")
    assert.truthy(text:find('the sockets of systemd are for another process: LISTEN_PID is "x"', 1, true), text)
    text = child.run(("sh -c %s 3</dev/null"):format(child.quote(("LISTEN_FDS=1 LISTEN_PID=$$ exec env %s %s"):format(
      environment(), quoted_lua(PROGRAM:format("systemd"))))))
    assert.truthy(text:find("descriptor 3 is no socket that can be listened on: ", 1, true), text)
  end)

  describe("tells systemd", function()
    local found, unix = pcall(require, "socket.unix")
    if not (found and type(unix) == "table" and unix.dgram) then
      pending("needs LuaSocket with unix sockets")
      return
    end

    local function listen()
      local socket = assert(unix.dgram())
      assert(socket:bind(folder .. "/notify"))
      socket:settimeout(20)
      return socket, "NOTIFY_SOCKET=" .. child.quote(folder .. "/notify")
    end

    activation("that it is ready, and that it drains", function()
      local socket, variable = listen()
      local port = ports.closed()
      activate({ "127.0.0.1:" .. port }, "systemd", nil, variable)
      local c = client.connect({ port = port, clients = {}, pump = server.pump, turn = function() end })
      assert.equal("READY=1", (socket:receive()))
      c:close()
      assert.equal(200, (ask(port, "/drain")))
      assert.equal("STOPPING=1", (socket:receive()))
      socket:close()
    end)

    activation("that workers are ready, and that they stop", function()
      if not require("spec.support.luv").library() then return pending("needs lua-luv") end
      local socket, variable = listen()
      local port = ports.closed()
      local program = child.start(("systemd-socket-activate -l 127.0.0.1:%d /usr/bin/env %s %s %s"):format(port,
        environment(), variable, quoted_lua(([[
          io.stdout:setvbuf("line")
          local launcher = require("websockets").workers{
            socket = "systemd", count = 2, log = print, command = { %q, "-e", %q },
          }
          assert(launcher:get_port() == %d)
          launcher:run()
        ]]):format(child.this_lua(), PROGRAM:format("worker"), port))))
      started[#started + 1] = program
      program:expect("Listening on (.*)")
      assert.same({ 200, port .. " 127.0.0.1" }, { ask(port) })
      assert.equal("READY=1", (socket:receive()))
      -- Not by `timeout`, which sends it twice: the second may come after the launcher has ended its work.
      child.run("kill " .. program:child_pid())
      assert.equal("STOPPING=1", (socket:receive()))
      for _ = 1, 2 do program:expect("ended with code 0") end
      socket:close()
    end)

    local function of_port(options, variable)
      local program = ([[
        require("websockets").context{ port = "any", interf = "127.0.0.1", log = print, %s }:destroy()
      ]]):format(options)
      return (child.run(("env %s %s %s"):format(environment(), variable, quoted_lua(program))))
    end

    it("with notify = true also of a socket of its own, else nothing", function()
      local socket, variable = listen()
      assert.equal("", of_port("notify = true", variable))
      assert.equal("READY=1", (socket:receive()))
      assert.equal("STOPPING=1", (socket:receive()))
      assert.equal("", of_port("", variable))
      socket:settimeout(0)
      assert.same({ nil, "timeout" }, { socket:receive() })
      assert.equal("", of_port("notify = true", "NOTIFY_SOCKET="))
      socket:close()
    end)

    it("or logs that it could not", function()
      assert.matches("^warning\tsystemd was not told READY=1 by the socket @here: its name is abstract",
        of_port("notify = true", "NOTIFY_SOCKET=@here"))
      assert.matches("^warning\tsystemd was not told READY=1 by the socket /nowhere: ",
        of_port("notify = true", "NOTIFY_SOCKET=/nowhere"))
    end)
  end)
end)
