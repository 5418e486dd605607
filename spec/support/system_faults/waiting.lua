--- Rows of the table of system faults: waiting for descriptors, and what is asked of them beside bytes.
-- @module spec.support.system_faults.waiting
local client = require("spec.support.client")
local socket = require("socket")

local MUCH = ("0123456789"):rep(300000)

-- LuaSocket's select goes on after a signal by itself.
local function interrupted(times)
  return { call = "wait", fault = ("EINTR, %d times"):format(times), must = "others are served, no line in the log",
    run = function(world)
      world:fault({ call = "wait", error = "EINTR", times = times })
      world:echo(world.beside, "x")
      world:calm()
      world:heal()
      world:logged(0)
    end }
end

local function fails(errno)
  return { call = "wait", fault = errno .. ", 3 times", must = "tried again after a rest, one line in the log",
    run = function(world)
      local real_sleep, slept = socket.sleep, 0
      socket.sleep = function(seconds) slept = slept + seconds end
      world:fault({ call = "wait", error = errno, times = 3 })
      world.run:turns(5)
      world:heal()
      socket.sleep = real_sleep
      assert(slept > 0.2, slept)
      world:logged(1, "^error: [%w_]+ failed")
      world:echo(world.beside, "x")
    end }
end

local function unwatched(errno)
  return { call = "epoll_ctl", fault = errno .. " for a new connection", engines = "native",
    must = "this one ends at once; others are served, one line in the log",
    run = function(world)
      world:fault({ call = "epoll_ctl", error = errno, times = 1 })
      local one = world:connect()
      one:await_end()
      world:heal()
      world:logged(1, "^warning: ")
      world:echo(world:open(), "next")
    end }
end

local function unwatched_when_full(errno)
  return { call = "epoll_ctl", fault = errno .. " for a connection with a full socket", engines = "native",
    must = "this one ends with 1006, others are served",
    run = function(world)
      local _, ws = world:open()
      world:fault({ call = "epoll_ctl", error = errno, fd = ws:get_socket_fd(), times = 1 })
      for _ = 1, 4 do ws:write(MUCH, 1) end
      world:ended(ws, 1006, "limit")
      world:heal()
    end }
end

local function harmless(call, errno, fault, work)
  return { call = call, fault = errno .. " " .. fault, must = "served all the same",
    run = function(world)
      world:fault({ call = call, error = errno, times = -1 })
      work(world)
      world:heal()
    end }
end

local function nameless()
  return { call = "getpeername", fault = "ENOTCONN", must = 'the address is "", nothing raises',
    run = function(world)
      local _, ws = world:open()
      world:fault({ call = "getpeername", error = "ENOTCONN", fd = ws:get_socket_fd(), times = -1 })
      local name, address = ws:get_peer_addresses()
      assert(name == "" and address == "")
      world:heal()
    end }
end

local function closes(errno)
  return { call = "close", fault = errno .. " although the descriptor is closed", must = "ends as usual",
    run = function(world)
      local one, ws = world:open()
      world:fault({ call = "close", error = errno, fd = ws:get_socket_fd(), times = 1, after = true })
      one:send_close(1000)
      world:ended(ws, 1000, "closed nil")
      one:await_end()
      world:heal()
    end }
end

local function shuts_down(errno)
  return { call = "shutdown", fault = errno .. " at the end of a connection that failed", must = "ends as usual",
    run = function(world)
      local one, ws = world:open()
      world:fault({ call = "shutdown", error = errno, fd = ws:get_socket_fd(), times = -1 })
      one:send("\255\255")
      assert(one:close_code() == 1002)
      one:close()
      world:ended(ws, 1002, "protocol")
      world:heal()
    end }
end

local function starts(call, errno, engines)
  return { call = call, fault = errno .. " when a context is made", engines = engines,
    must = "raises, and says why; nothing is left open",
    run = function(world)
      world:fault({ call = call, error = errno, times = -1 })
      local is_made, err = pcall(require("websockets").context, { port = "any", interf = "127.0.0.1" })
      world:heal()
      assert(not is_made, "a context was made")
      assert(tostring(err):find("websocket could not create context", 1, true), tostring(err))
    end }
end

local function opens_file(errno, status)
  return { call = "open", fault = errno .. " at a file", must = ("%d; the connection goes on"):format(status),
    run = function(world)
      local one = world:accepted()
      one:send(client.request("/file"))
      world:fault({ call = "open", error = errno, times = -1 })
      assert(one:response() == status)
      world:heal()
      one:send(client.request("/file"))
      assert(one:response() == 200)
    end }
end

local function echoes(world) world:echo(world:open(), "x") end

local function reads_file(errno)
  return { call = "read", fault = errno .. " amid a file", must = "the answer is cut and the connection ends",
    run = function(world)
      local one = world:accepted()
      one:send(client.request("/file"))
      world:fault({ call = "read", error = errno, skip = 2, times = -1 })
      local bytes = one:drain()
      world:heal()
      assert(#bytes < world.file_bytes, "all of it came")
    end }
end

return {
  interrupted(1), interrupted(50), fails("ENOMEM"), fails("EINVAL"),
  unwatched("ENOMEM"), unwatched("ENOSPC"), unwatched_when_full("ENOMEM"),
  harmless("setsockopt", "ENOBUFS", "for every option", echoes),
  harmless("setsockopt", "ENOPROTOOPT", "for every option", echoes),
  nameless(), closes("EINTR"), closes("EIO"), shuts_down("ENOTCONN"),
  starts("socket", "EMFILE"), starts("socket", "ENOBUFS"), starts("bind", "EADDRINUSE"), starts("bind", "EACCES"),
  starts("listen", "EADDRINUSE"), starts("epoll_create", "EMFILE", "native"),
  starts("timerfd_create", "ENFILE", "native"), starts("epoll_ctl", "ENOMEM", "native"),
  opens_file("EMFILE", 503), opens_file("ENFILE", 503), opens_file("EACCES", 404), reads_file("EIO"),
}
