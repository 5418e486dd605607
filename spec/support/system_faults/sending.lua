--- Rows of the table of system faults: sending.
-- @module spec.support.system_faults.sending
local client = require("spec.support.client")

local LOST = "this one ends with 1006, its descriptor comes back; others are served"
-- The accelerator tells want of memory from a connection that broke.
local WORDS = setmetatable({ ENOMEM = "reset error", ENOBUFS = "reset error" }, {
  __index = function() return "reset closed" end,
})
local MUCH = ("0123456789"):rep(20000)

-- EAGAIN although there is room: epoll tells once that there is.
local TIMES = { EINTR = 3, EAGAIN = 1 }

local function again(errno)
  return { call = "send", fault = ("%s, %d time(s)"):format(errno, TIMES[errno]), must = "sent later, nothing is lost",
    run = function(world)
      local one, ws = world:open()
      world:fault({ call = "send", error = errno, fd = ws:get_socket_fd(), times = TIMES[errno] })
      world:echo(one, "x")
      world:heal()
      world:echo(one, "y")
      world:logged(0)
    end }
end

-- Linux tells once why a connection has broken, then that it has.
local function lost(errno)
  return { call = "send", fault = errno .. " in an open connection", must = LOST,
    run = function(world)
      local one, ws = world:open()
      world:fault({ call = "send", error = errno, fd = ws:get_socket_fd(), times = 1 })
      world:fault({ call = "send", error = "EPIPE", fd = ws:get_socket_fd(), times = -1 })
      one:text("x")
      world:ended(ws, 1006, WORDS[errno])
      world:heal()
    end }
end

local function lost_in_broadcast(errno)
  return { call = "send", fault = errno .. " at one of three members of a broadcast", must = "the others get it",
    run = function(world)
      local one, ws = world:open()
      local other = world:open()
      world:fault({ call = "send", error = errno, fd = ws:get_socket_fd(), times = -1 })
      world.context:broadcast("echo", "to all")
      world:ended(ws, 1006, WORDS[errno])
      one:close()
      for _, each in ipairs({ other, world.beside }) do assert(select(2, each:message()) == "to all") end
      world:heal()
    end }
end

local function lost_in_http(errno, bytes, place)
  return { call = "send", fault = errno .. " " .. place, must = "this one ends, its descriptor comes back",
    run = function(world)
      local one, fd = world:accepted()
      world:fault({ call = "send", error = errno, fd = fd, times = -1 })
      one:send(bytes)
      one:await_end()
      world:heal()
    end }
end

local function again_in_http(errno, bytes, place)
  return { call = "send", fault = ("%s, %d time(s), %s"):format(errno, TIMES[errno], place), must = "answered later",
    run = function(world)
      local one, fd = world:accepted()
      world:fault({ call = "send", error = errno, fd = fd, times = TIMES[errno] })
      one:send(bytes)
      local status = one:read_head()
      assert(status == 200 or status == 101)
      world:heal()
    end }
end

local function lost_close_frame(errno)
  return { call = "send", fault = errno .. " at our close frame", must = LOST .. "; not clean",
    run = function(world)
      local _, ws = world:open()
      world:fault({ call = "send", error = errno, fd = ws:get_socket_fd(), times = -1 })
      ws:close(1000)
      assert(not world:ended(ws, 1006, WORDS[errno]).clean)
      world:heal()
    end }
end

local function later_close_frame(errno)
  return { call = "send", fault = ("%s, %d time(s), at our close frame"):format(errno, TIMES[errno]),
    must = "it leaves later: a clean end",
    run = function(world)
      local one, ws = world:open()
      world:fault({ call = "send", error = errno, fd = ws:get_socket_fd(), times = TIMES[errno] })
      ws:close(1000)
      assert(one:close_code() == 1000)
      one:send_close(1000)
      assert(world:ended(ws, 1000, "closed nil").clean)
      world:heal()
    end }
end

local function lost_answer_to_close(errno)
  return { call = "send", fault = errno .. " at the answer to the peer's close frame", must = "ends; not clean",
    run = function(world)
      local one, ws = world:open()
      world:fault({ call = "send", error = errno, fd = ws:get_socket_fd(), times = -1 })
      one:send_close(1001)
      assert(not world:ended(ws, 1001, "closed reset nil").clean)
      world:heal()
    end }
end

local function short_of_each_length()
  return { call = "send", fault = "1, 2, 3 … 40 bytes a call: answer and frames",
    must = "all leaves, whole and in order",
    run = function(world)
      for size = 1, 40 do
        local one, fd = world:accepted()
        world:fault({ call = "send", bytes = size, fd = fd, times = -1 })
        one:send(client.upgrade({ protocol = "echo" }) .. one:frame(1, "x") .. one:frame(2, ("y"):rep(200)))
        assert(one:read_head() == 101)
        for _, text in ipairs({ "x", ("y"):rep(200) }) do assert(select(2, one:message()) == text) end
        world:heal()
        one:reset()
      end
    end }
end

local function short(size)
  return { call = "send", fault = ("%d bytes a call of a message of 200,000"):format(size),
    must = "all leaves, whole and in order",
    run = function(world)
      local one, ws = world:open()
      world:fault({ call = "send", bytes = size, fd = ws:get_socket_fd(), times = -1 })
      ws:write(MUCH, 1)
      ws:write("after")
      assert(select(2, one:message()) == MUCH)
      assert(select(2, one:message()) == "after")
      world:heal()
    end }
end

local function short_broadcast()
  return { call = "send", fault = "7 bytes a call to one of three members of a broadcast", must = "all get all",
    run = function(world)
      local one, ws = world:open()
      local other = world:open()
      world:fault({ call = "send", bytes = 7, fd = ws:get_socket_fd(), times = -1 })
      for i = 1, 5 do world.context:broadcast("echo", i .. ("b"):rep(500)) end
      for _, each in ipairs({ one, other, world.beside }) do
        for i = 1, 5 do assert(select(2, each:message()) == i .. ("b"):rep(500)) end
      end
      world:heal()
    end }
end

local function short_file()
  return { call = "send", fault = "1,000 bytes a call of a file of 300,000", must = "all of it leaves",
    run = function(world)
      local one, fd = world:accepted()
      world:fault({ call = "send", bytes = 1000, fd = fd, times = -1 })
      one:send(client.request("/file"))
      local status, _, body = one:response()
      assert(status == 200 and body == ("0123456789"):rep(world.file_bytes / 10))
      world:heal()
    end }
end

local UPGRADE = client.upgrade({ protocol = "echo" })

return {
  again("EINTR"), again("EAGAIN"),
  lost("EPIPE"), lost("ECONNRESET"), lost("ETIMEDOUT"), lost("ENOBUFS"), lost("ENOMEM"), lost("EPERM"),
  lost("EHOSTUNREACH"), lost("ENETDOWN"),
  lost_in_broadcast("EPIPE"), lost_in_broadcast("ENOBUFS"), lost_in_broadcast("EPERM"),
  again_in_http("EAGAIN", client.request("/"), "at an answer"), again_in_http("EINTR", UPGRADE, "at the 101"),
  lost_in_http("EPIPE", client.request("/"), "at an answer"), lost_in_http("ECONNRESET", UPGRADE, "at the 101"),
  lost_in_http("ENOMEM", client.request("/file"), "at a file"),
  lost_close_frame("EPIPE"), lost_close_frame("ENOBUFS"), later_close_frame("EAGAIN"), later_close_frame("EINTR"),
  lost_answer_to_close("EPIPE"), lost_answer_to_close("ECONNRESET"),
  short_of_each_length(), short(1000), short(4097), short_broadcast(), short_file(),
}
