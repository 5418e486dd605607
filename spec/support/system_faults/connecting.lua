--- Rows of the table of system faults: connections of our own.
-- @module spec.support.system_faults.connecting
local peer = require("spec.support.peer")

local function no_socket(errno)
  return { call = "socket", fault = errno .. " at context:connect", must = 'nil, a message, "limit"',
    run = function(world)
      world:fault({ call = "socket", error = errno, times = -1 })
      local ws, message, word = world.context:connect("ws://127.0.0.1:9/")
      world:heal()
      assert(ws == nil and type(message) == "string" and word == "limit", tostring(word))
    end }
end

local function no_second_socket()
  return { call = "socket", fault = "EMFILE for the second address of a host", must = "on_closed: 1006, unreachable",
    run = function(world)
      local nobody = peer.listen(world.run)
      nobody:close()
      world:fault({ call = "socket", error = "EMFILE", skip = 1, times = -1 })
      local _, log = peer.watch(world.context:connect(("ws://localhost:%d/"):format(nobody.port)))
      world:pump(function() return log.closed[1] end)
      world:heal()
      assert(log.closed[1][1] == 1006 and log.closed[1][4] == "unreachable", tostring(log.closed[1][4]))
    end }
end

-- LuaSocket tells of ETIMEDOUT as of a call that would wait.
local function options_for(errno) return errno == "ETIMEDOUT" and { timeout = 1 } or nil end

local function not_connected(errno, word)
  return { call = "connect", fault = errno, must = "on_closed: 1006, " .. word,
    run = function(world)
      local far = peer.listen(world.run)
      world:fault({ call = "connect", error = errno, times = -1 })
      local _, log = far:connect(options_for(errno))
      world:pump(function() return log.closed[1] end, "on_closed")
      world:heal()
      assert(log.closed[1][1] == 1006 and log.closed[1][4] == word, tostring(log.closed[1][4]))
    end }
end

local function connected(errno, times)
  return { call = "connect", fault = ("%s, %d time(s)"):format(errno, times), must = "connects",
    run = function(world)
      local far = peer.listen(world.run)
      world:fault({ call = "connect", error = errno, times = times, after = true })
      local ws, log = far:connect()
      far:accept()
      world:pump(function() return log.open == 1 end, "on_open")
      world:heal()
      ws:close(0)
    end }
end

local function broken(call, errno, place, prepare)
  return { call = call, fault = errno .. " " .. place, must = "on_closed once: 1006; the descriptor comes back",
    run = function(world)
      local far = peer.listen(world.run)
      local ws, log = far:connect(options_for(errno))
      if prepare then prepare(world, far, log) end
      world:fault({ call = call, error = errno, fd = ws:get_socket_fd(), times = -1 })
      if prepare then far:write(1, "x") else far:accept() end
      if call == "send" then ws:write("x") end
      world:pump(function() return log.closed[1] end, "on_closed")
      world:heal()
      world:settle()
      assert(#log.closed == 1 and log.closed[1][1] == 1006, log.closed[1][1])
    end }
end

local function opened(world, far, log)
  far:accept()
  world:pump(function() return log.open == 1 end, "on_open")
end

-- Pure Lua fetches some ahead.
local function use_up()
  repeat until not require("websockets.engine.pure.random").bytes(16)
end

local function no_random_bytes(call, errno, engines)
  return { call = call, fault = errno .. " where random bytes are asked for", engines = engines,
    must = "on_closed: 1006, entropy; nothing is sent",
    run = function(world)
      local far = peer.listen(world.run)
      world:fault({ call = call, error = errno, times = -1 })
      if engines == "pure" then use_up() end
      local _, log = far:connect()
      world:pump(function() return log.closed[1] end, "on_closed")
      world:heal()
      assert(log.closed[1][1] == 1006 and log.closed[1][4] == "entropy", tostring(log.closed[1][4]))
    end }
end

local function no_look_up(call, errno)
  return { call = call, fault = errno .. " at a look-up", engines = "native", must = 'nil, a message, "limit"',
    run = function(world)
      world:fault({ call = call, error = errno, times = -1 })
      local ws, message, word = world.context:connect("ws://a.invalid/")
      world:heal()
      assert(ws == nil and type(message) == "string" and word == "limit", tostring(word))
    end }
end

return {
  no_socket("EMFILE"), no_socket("ENFILE"), no_socket("ENOMEM"), no_socket("ENOBUFS"), no_socket("EPERM"),
  no_second_socket(),
  not_connected("ECONNREFUSED", "refused"), not_connected("ETIMEDOUT", "timeout"),
  not_connected("ENETUNREACH", "unreachable"), not_connected("EHOSTUNREACH", "unreachable"),
  not_connected("EADDRNOTAVAIL", "unreachable"), not_connected("EPERM", "unreachable"),
  not_connected("ENOBUFS", "unreachable"), not_connected("ENETDOWN", "unreachable"),
  connected("EINTR", 1),
  broken("recv", "ECONNRESET", "at the server's answer"), broken("recv", "ETIMEDOUT", "at the server's answer"),
  broken("recv", "ENOMEM", "in our client's open connection", opened),
  broken("send", "EPIPE", "in our client's open connection", opened),
  broken("send", "ENOBUFS", "in our client's open connection", opened),
  no_random_bytes("getrandom", "ENOSYS", "native"), no_random_bytes("open", "EMFILE", "pure"),
  no_look_up("socketpair", "EMFILE"), no_look_up("socketpair", "ENFILE"),
}
