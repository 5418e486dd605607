--- Rows of the table of system faults: receiving.
-- @module spec.support.system_faults.reading
local client = require("spec.support.client")

local LOST = "this one ends with 1006, its descriptor comes back; others are served"
-- The accelerator tells want of memory from a connection that broke.
local WORDS = setmetatable({ ENOMEM = "reset error", ENOBUFS = "reset error" }, {
  __index = function() return "reset closed" end,
})

-- That nothing is here although something is: epoll tells again only of what comes later.
local function again(errno)
  return { call = "recv", fault = errno .. " although bytes are here, 3 times", must = "read later, nothing is lost",
    run = function(world)
      local one, ws = world:open()
      world:fault({ call = "recv", error = errno, fd = ws:get_socket_fd(), times = 3 })
      one:text("first")
      for _ = 1, 3 do
        world:settle()
        one:write(9, "")
      end
      world:settle()
      world:heal()
      local opcode, payload
      repeat opcode, payload = one:message() until opcode ~= 10
      assert(opcode == 1 and payload == "first", tostring(payload))
      world:logged(0)
    end }
end

local function interrupted()
  return { call = "recv", fault = "EINTR, 3 times, in an open connection", must = "read at once",
    run = function(world)
      local one, ws = world:open()
      world:fault({ call = "recv", error = "EINTR", fd = ws:get_socket_fd(), times = 3 })
      world:echo(one, "x")
      world:heal()
    end }
end

-- Linux tells once why a connection has broken; what follows is the end.
local function break_connection(world, errno, fd)
  world:fault({ call = "recv", error = errno, fd = fd, times = 1 })
  world:fault({ call = "recv", bytes = 0, fd = fd, times = -1 })
end

local function lost(errno)
  return { call = "recv", fault = errno .. " in an open connection", must = LOST,
    run = function(world)
      local one, ws = world:open()
      break_connection(world, errno, ws:get_socket_fd())
      one:text("x")
      world:ended(ws, 1006, WORDS[errno])
      world:heal()
    end }
end

local function lost_amid_message(errno)
  return { call = "recv", fault = errno .. " amid a message in fragments", must = LOST,
    run = function(world)
      local one, ws = world:open()
      one:write(1, "half", false)
      world:settle()
      break_connection(world, errno, ws:get_socket_fd())
      one:write(0, "rest")
      world:ended(ws, 1006, WORDS[errno])
      world:heal()
    end }
end

local function lost_while_closing(errno)
  return { call = "recv", fault = errno .. " while the peer's close frame is awaited", must = LOST .. "; not clean",
    run = function(world)
      local one, ws = world:open()
      ws:close(1000)
      break_connection(world, errno, ws:get_socket_fd())
      one:text("x")
      assert(not world:ended(ws, 1006, WORDS[errno]).clean)
      world:heal()
    end }
end

local function lost_in_http(errno, bytes, place)
  return { call = "recv", fault = errno .. " " .. place, must = "this one ends, its descriptor comes back",
    run = function(world)
      local one, fd = world:accepted()
      break_connection(world, errno, fd)
      one:send(bytes)
      one:await_end()
      world:heal()
    end }
end

local function interrupted_in_http()
  return { call = "recv", fault = "EINTR, 3 times, amid a request", must = "read at once",
    run = function(world)
      local one, fd = world:accepted()
      world:fault({ call = "recv", error = "EINTR", fd = fd, times = 3 })
      one:send(client.request("/"))
      assert(one:response() == 200)
      world:heal()
    end }
end

-- select tells again of what is left; with epoll such a read means that nothing is left.
local function short_by_force(bytes)
  return { call = "recv", fault = ("%d byte(s) a call, by force"):format(bytes), engines = "pure",
    must = "all comes, whole and in order",
    run = function(world)
      world:fault({ call = "recv", bytes = bytes, times = -1 })
      local one = world:open()
      world:echo(one, "short")
      world:echo(one, ("long"):rep(100))
      world:heal()
    end }
end

-- As they come from a peer that sends so few.
local function short()
  return { call = "recv", fault = "pieces of 1, 2, 3 … 40 bytes: request and frames",
    must = "all comes, whole and in order",
    run = function(world)
      for size = 1, 40 do
        local one = world:connect()
        local bytes = client.upgrade({ protocol = "echo" })
          .. one:frame(1, "x") .. one:frame(2, ("y"):rep(200)) .. one:frame(1, "a", false) .. one:frame(0, "b")
        for from = 1, #bytes, size do
          one:send(bytes:sub(from, from + size - 1))
          world.run:turns(1)
        end
        assert(one:read_head() == 101)
        for _, text in ipairs({ "x", ("y"):rep(200), "ab" }) do assert(select(2, one:message()) == text) end
        one:reset()
      end
    end }
end

return {
  interrupted(), again("EAGAIN"),
  lost("ECONNRESET"), lost("ETIMEDOUT"), lost("EPIPE"), lost("ENOMEM"), lost("ENOBUFS"), lost("EPERM"),
  lost("EHOSTUNREACH"), lost("ENOTCONN"),
  lost_amid_message("ECONNRESET"), lost_amid_message("ENOMEM"),
  lost_while_closing("ECONNRESET"), lost_while_closing("ETIMEDOUT"), lost_while_closing("ENOBUFS"),
  interrupted_in_http(),
  lost_in_http("ECONNRESET", client.request("/"), "at a request"), lost_in_http("ENOMEM", "GE", "amid a request"),
  lost_in_http("ETIMEDOUT", client.request("/", "Content-Length: 5\r\n", "POST", "ab"), "amid a body"),
  short_by_force(1), short_by_force(7), short(),
}
