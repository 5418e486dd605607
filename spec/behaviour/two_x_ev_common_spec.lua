--- Sending and receiving over sockets of the program's own under lua-ev, as in the API of 2.x.
-- @module spec.behaviour.two_x_ev_common_spec
local ev_common = require("websocket.ev_common")
local frame = require("websocket.frame")
local socket = require("socket")
local two_x = require("spec.support.two_x")

local MIB = 1024 * 1024

local host, one, other

-- A test with a loop and two connected sockets.
local function test(title, fn)
  it(title, function()
    local why
    host, why = two_x.ev()
    if not host then return pending(why) end
    local listener = host:keep(assert(socket.bind("127.0.0.1", 0)))
    one = host:keep(assert(socket.connect("127.0.0.1", (select(2, listener:getsockname())))))
    other = host:keep(assert(listener:accept()))
    one:settimeout(0)
    other:settimeout(0)
    fn()
  end)
end

-- Takes what has come, without waiting.
local function take(sock)
  local whole, _, part = sock:receive(MIB)
  return whole or part or ""
end

describe("async_send", function()
  after_each(two_x.stop_all)

  test("sends at once, and tells later", function()
    local send = ev_common.async_send(one, host.loop)
    local sent = {}
    assert.equal(0, send("some", function(bytes) sent[#sent + 1] = bytes end))
    assert.equal(0, send("thing", function(bytes) sent[#sent + 1] = bytes end))
    assert.equal(0, #sent)
    local got = ""
    host:pump(function()
      got = got .. take(other)
      return got == "something" and #sent == 2
    end)
    assert.same({ "some", "thing" }, sent)
  end)

  test("keeps what the socket does not take, in order", function()
    local send = ev_common.async_send(one, host.loop)
    local sent = 0
    local first = send(("a"):rep(8 * MIB), function() sent = sent + 1 end)
    local second = send(("b"):rep(MIB), function() sent = sent + 1 end)
    assert.is_true(first > 0 and second == first + MIB)
    local parts, size = {}, 0
    host:pump(function()
      parts[#parts + 1] = take(other)
      size = size + #parts[#parts]
      return size == 9 * MIB and sent == 2
    end)
    assert.is_true(table.concat(parts) == ("a"):rep(8 * MIB) .. ("b"):rep(MIB))
  end)

  test("throws away what waits when it is stopped", function()
    local send, stop = ev_common.async_send(one, host.loop)
    local is_told = false
    assert.is_true(send(("a"):rep(8 * MIB), function() is_told = true end) > 0)
    stop()
    host.loop:loop()
    assert.is_false(is_told)
  end)

  test("tells why it cannot send, later", function()
    local send = ev_common.async_send(one, host.loop)
    one:close()
    local heard
    send("x", function() error("sent") end, function(why) heard = why end)
    assert.is_nil(heard)
    host:pump(function() return heard end)
    assert.equal("closed", heard)
  end)
end)

describe("message_io", function()
  after_each(two_x.stop_all)

  local got, faults

  local function listen()
    got, faults = {}, {}
    return ev_common.message_io(one, host.loop, function(payload, opcode) got[#got + 1] = { opcode, payload } end,
      function(why) faults[#faults + 1] = why end)
  end

  test("joins fragments, with control frames between them", function()
    listen()
    local bytes = frame.encode("he", 1, true, false) .. frame.encode("p", 9, true) .. frame.encode("llo", 0, true)
      .. frame.encode("\255", 2) .. frame.encode("", 8)
    for i = 1, #bytes do
      other:send(bytes:sub(i, i))
      if i % 5 == 0 then host:pump(function() return true end) end
    end
    host:pump(function() return #got == 4 end)
    assert.same({ { 9, "p" }, { 1, "hello" }, { 2, "\255" }, { 8, "" } }, got)
  end)

  test("takes a large message, and what was here before", function()
    local bytes = frame.encode(("m"):rep(4 * MIB), 2)
    local sent = other:send(bytes:sub(1, 20000))
    listen()
    host:pump(function()
      if sent < #bytes then
        local last, _, partial = other:send(bytes, sent + 1)
        sent = last or partial
      end
      return got[1]
    end)
    assert.is_true(got[1][1] == 2 and got[1][2] == ("m"):rep(4 * MIB))
  end)

  test("can be stopped by a message", function()
    local watcher
    got = {}
    watcher = ev_common.message_io(one, host.loop, function(payload)
      got[#got + 1] = payload
      watcher:stop(host.loop)
    end, error)
    other:send(frame.encode("one") .. frame.encode("two"))
    host.loop:loop()
    assert.same({ "one" }, got)
  end)

  test("tells the end, and a length that is never waited for", function()
    for bytes, expected in pairs({ [""] = "closed", ["\130\127\0\0\0\1\0\0\0\0"] = "message too large" }) do
      local listener = host:keep(assert(socket.bind("127.0.0.1", 0)))
      one = host:keep(assert(socket.connect("127.0.0.1", (select(2, listener:getsockname())))))
      other = host:keep(assert(listener:accept()))
      one:settimeout(0)
      listen()
      if bytes == "" then other:close() else other:send(bytes) end
      host:pump(function() return faults[1] end)
      assert.same({ expected }, faults)
    end
  end)
end)
