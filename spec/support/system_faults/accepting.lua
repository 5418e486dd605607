--- Rows of the table of system faults: accepting.
-- @module spec.support.system_faults.accepting

local REST = "rests a second, one line in the log, no spin; then serves"

-- A few in a row: the connection is there all the same.
local function passes(errno)
  return { call = "accept", fault = errno .. ", 3 times", must = "goes on with the next one, no line in the log",
    run = function(world)
      world:fault({ call = "accept", error = errno, times = 3 })
      world:echo(world:open(), "x")
      world:heal()
      world:logged(0)
    end }
end

local function rests(errno)
  return { call = "accept", fault = errno .. ", for ever", must = REST,
    run = function(world)
      world.run:fake_time()
      world:fault({ call = "accept", error = errno, times = -1 })
      local late = world:connect()
      world.run:turns(300)
      world:calm()
      world.run:advance(1.1)
      world.run:turns(300)
      world:calm()
      world:logged(1, "^warning: accepting rests a second: ")
      world:echo(world.beside, "others")
      world:heal()
      world.run:advance(1.1)
      world:settle()
      -- It may have been told 503 by the spare descriptor.
      late:poll()
      world:echo(world:open(), "x")
    end }
end

local function cannot_wake(errno)
  return { call = "epoll_ctl", fault = errno .. " for the listener, when accepting goes on", engines = "native",
    must = "rests once more, then serves",
    run = function(world)
      world.run:fake_time()
      world:fault({ call = "accept", error = "ENOMEM", times = -1 })
      world:connect()
      world.run:turns(50)
      world:heal()
      world:fault({ call = "epoll_ctl", error = errno, times = 1 })
      world.run:advance(1.1)
      world:heal()
      world:calm()
      world.run:advance(1.1)
      world:echo(world:open(), "x")
    end }
end

local function makes_room(errno)
  return { call = "accept", fault = errno .. " while silent peers hold descriptors",
    must = "the oldest silent peer goes, the new one is served",
    run = function(world)
      local first, second = world:accepted(), world:accepted()
      world:fault({ call = "accept", error = errno, times = 2 })
      world:echo(world:open(), "x")
      world:heal()
      first:await_end()
      second:poll()
      assert(not second.ended, "the second went too")
    end }
end

return {
  passes("EINTR"), passes("EAGAIN"), passes("ECONNABORTED"), passes("EPROTO"), passes("ENETDOWN"),
  rests("EMFILE"), rests("ENFILE"), rests("ENOMEM"), rests("ENOBUFS"), rests("EPERM"), rests("ETIMEDOUT"),
  rests("ECONNABORTED"), rests("EAGAIN"), rests("EPROTO"),
  makes_room("EMFILE"), makes_room("ENFILE"), cannot_wake("ENOMEM"),
}
