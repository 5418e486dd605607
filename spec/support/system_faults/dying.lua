--- Rows of the table of system faults: a peer that dies after each byte of what it sends.
-- @module spec.support.system_faults.dying
local client = require("spec.support.client")
local engine = require("websockets.engine.pure")
local inside = require("spec.support.inside")
local peer = require("spec.support.peer")

local CHUNKS = "3\r\nabc\r\n0\r\n\r\n"

local frames = engine.writer({ role = "client" })

local function frame(opcode, payload, fin) return (frames:encode(opcode, payload, fin)) end

-- FIN: the peer may still read, so it waits for our end.
local function die(one, how)
  if how == "RST" then one:reset() else one.connection:shutdown("send") end
end

-- The connection that is left is that of the bystander.
local function pump_to_end(world)
  world:pump(function() return inside.connections(world.context) == 1 end, "the end of the connection")
end

local function in_http(what, bytes, how)
  return { call = "peer", fault = ("%s after each of the %d bytes of %s"):format(how, #bytes, what),
    must = "the connection ends, no callback; others are served",
    run = function(world)
      for cut = 0, #bytes - 1 do
        local one = world:accepted()
        one:send(bytes:sub(1, cut))
        die(one, how)
        pump_to_end(world)
        one:close()
      end
      assert(#world.closed == 0 and #world.ws == 1)
    end }
end

-- `code` and `whys` are of an end after the last byte too.
local function in_frame(what, bytes, how, whole)
  return { call = "peer", fault = ("%s after each of the %d bytes of %s"):format(how, #bytes, what),
    must = "on_closed once: 1006" .. (whole and ("; whole and FIN: %d, clean"):format(whole) or ""),
    run = function(world)
      for cut = 0, #bytes do
        local one, ws = world:open()
        local before = #world.closed
        one:send(bytes:sub(1, cut))
        die(one, how)
        pump_to_end(world)
        assert(#world.closed == before + 1, "on_closed " .. #world.closed - before .. " times")
        local ended = world.closed[#world.closed]
        local code = how == "FIN" and cut == #bytes and whole or 1006
        -- A reset takes what came before it along where that has not been read.
        local is_right = ended.code == code or how == "RST" and cut == #bytes and ended.code == whole
        assert(ended.ws == ws and is_right, ("byte %d: %d %s"):format(cut, ended.code, tostring(ended.why)))
        assert(how == "RST" or ended.clean == (code ~= 1006), "clean")
        one:close()
      end
    end }
end

local function in_answer(how)
  return { call = "peer", fault = how .. " after each byte of the answer to our client's request",
    must = "on_closed once: 1006, never on_open",
    run = function(world)
      local cut, is_last = 0
      repeat
        local far = peer.listen(world.run)
        local _, log = far:connect()
        local _, headers = far:read_request()
        local answer = far.answer(headers)
        far:send(answer:sub(1, cut))
        if how == "RST" then far.connection:setoption("linger", { on = true, timeout = 0 }) end
        far.connection:close()
        far.connection = false
        world:pump(function() return log.closed[1] end, "on_closed")
        world:settle()
        assert(#log.closed == 1 and log.closed[1][1] == 1006 and log.open == 0)
        far:close()
        cut = cut + 1
        is_last = cut == #answer
      until is_last
    end }
end

local function in_servers_frame(how)
  return { call = "peer", fault = how .. " after each byte of frames to our client",
    must = "on_closed once: 1006; what came whole is delivered",
    run = function(world)
      local writer = engine.writer({ role = "server" })
      local bytes = (writer:encode(1, "one")) .. (writer:encode(1, "tw", false)) .. (writer:encode(0, "o"))
      for cut = 0, #bytes do
        local far = peer.listen(world.run)
        local _, log = far:connect()
        far:accept()
        world:pump(function() return log.open == 1 end, "on_open")
        far:send(bytes:sub(1, cut))
        if how == "RST" then far.connection:setoption("linger", { on = true, timeout = 0 }) end
        far.connection:close()
        far.connection = false
        world:pump(function() return log.closed[1] end, "on_closed")
        assert(#log.closed == 1 and log.closed[1][1] == 1006)
        local whole = cut < 5 and 0 or cut < #bytes and 1 or 2
        assert(#log.messages == whole or how == "RST" and #log.messages < whole, "byte " .. cut)
        far:close()
      end
    end }
end

local rows = {}

for _, how in ipairs({ "FIN", "RST" }) do
  local made = {
    in_http("the opening handshake", client.upgrade({ protocol = "echo" }), how),
    in_http("a request with a body", client.request("/", "Content-Length: 9\r\n", "POST", "123456789"), how),
    in_http("a chunked body", client.request("/", "Transfer-Encoding: chunked\r\n", "POST", CHUNKS), how),
    in_frame("a text frame", frame(1, "hello"), how),
    in_frame("a frame with a 16-bit length", frame(2, ("x"):rep(126)), how),
    in_frame("a frame with a 64-bit length", frame(2, ("x"):rep(65536)):sub(1, 20), how),
    in_frame("fragments with a ping between", frame(1, "a", false) .. frame(9, "p") .. frame(0, "b"), how),
    in_frame("a close frame", frame(8, "\3\232done"), how, 1000),
    in_frame("a close frame without code", frame(8, ""), how, 1005),
    in_answer(how), in_servers_frame(how),
  }
  for _, row in ipairs(made) do rows[#rows + 1] = row end
end

return rows
