--- Streams of libuv as transports.
-- @module spec.unit.transport.uv_stream_spec
local errors = require("websockets.transport.uv_errors")
local needs = require("spec.support.needs")
local ports = require("spec.support.ports")
local socket = require("socket")
local transports = require("websockets.transport.uv")

local DEADLINE_SECONDS = 20

describe("websockets.transport.uv_errors", function()
  it("says what an error is in LuaSocket's words, else in those of libuv", function()
    assert.equal("connection refused", errors.describe("ECONNREFUSED"))
    assert.equal("address already in use", errors.describe("EADDRINUSE: address in use already"))
    assert.equal("no such thing", errors.describe("ENOTHING: no such thing"))
    assert.equal("ENOTHING", errors.describe("ENOTHING"))
    assert.equal("Invalid IP address", errors.describe("Invalid IP address"))
  end)

  it("tells an end from a reset", function()
    assert.same({ "closed", "closed", "reset" },
      { errors.end_of("EOF"), errors.end_of("EPIPE"), errors.end_of("ECONNRESET") })
  end)
end)

local uv = require("spec.support.luv").library()
if not uv then
  describe("websockets.transport.uv_stream", function() pending("needs lua-luv") end)
  return
end

describe("websockets.transport.uv_stream", function()
  local open, marks

  -- Counts what is marked.
  local poller = { mark = function(_, one) marks[#marks + 1] = one end }

  local function keep(one)
    open[#open + 1] = one
    return one
  end

  before_each(function() open, marks = {}, {} end)
  after_each(function()
    for _, one in ipairs(open) do one:close() end
    uv.run("nowait")
  end)

  local function wait(condition)
    local deadline, timer = socket.gettime() + DEADLINE_SECONDS, uv.new_timer()
    timer:start(0, 2, function() end)
    repeat
      uv.run("once")
      local result = condition()
      if result then
        timer:close()
        return result
      end
    until socket.gettime() > deadline
    timer:close()
    error("waited too long", 2)
  end

  -- Two transports that are connected.
  local function pair()
    local listener = keep(assert(transports.listen("tcp4", "127.0.0.1", 0, 5)))
    listener:watch(poller, "listener", true)
    local _, port = listener:getsockname()
    local one = keep(transports.connect({ "tcp4", "127.0.0.1" }, port))
    one:watch(poller, "one", true, true)
    assert.is_false(one:connected())
    local other = keep(wait(function() return (listener:accept()) end))
    wait(function() return one:connected() end)
    other:watch(poller, "other", true, false)
    return one, other
  end

  local function take(transport, size)
    local pieces, total = {}, 0
    while total < size do
      local bytes, why = transport:receive()
      if bytes then
        assert.is_true(#bytes <= 65536)
        pieces[#pieces + 1], total = bytes, total + #bytes
      else
        assert.equal("timeout", why)
        uv.run("once")
      end
    end
    return table.concat(pieces)
  end

  it("carries bytes both ways, knows its peer, and marks itself when they come", function()
    local one, other = pair()
    assert.same({ nil, "timeout" }, { other:receive() })
    marks = {}
    assert.equal(6, one:send("hello", 1))
    assert.equal("hello", take(other, 5))
    assert.equal(other, marks[1])
    assert.equal(4, other:send("-hi", 2))
    assert.equal("hi", take(one, 2))
    assert.same({ "127.0.0.1" }, { (one:peer()) })
    assert.is_true(one:getfd() > 2)
    other:shutdown()
    assert.equal("closed", wait(function()
      local _, why = one:receive()
      return why ~= "timeout" and why
    end))
  end)

  it("gives a full socket's bytes in the order and number in which they were offered", function()
    local one, other = pair()
    local bytes = {}
    for i = 1, 300 do bytes[i] = ("%05d"):format(i):rep(20000) end
    bytes = table.concat(bytes)
    local done, why, next_position = one:send(bytes, 1)
    assert.same({ nil, "timeout" }, { done, why })
    assert.is_true(next_position < #bytes)
    assert.is_false(one:is_writable())
    assert.same({ nil, "timeout", next_position }, { one:send(bytes, next_position) })
    local got, total, finished = {}, 0, false
    while total < #bytes do
      local piece = other:receive()
      if piece then got[#got + 1], total = piece, total + #piece else uv.run("nowait") end
      if not finished and one:is_writable() then
        done, why, next_position = one:send(bytes, next_position)
        finished = done ~= nil
        assert.is_true(finished or why == "timeout")
      end
    end
    assert.is_true(table.concat(got) == bytes)
    if not finished then assert.equal(#bytes + 1, (wait(function() return one:send(bytes, next_position) end))) end
  end)

  it("reads one piece ahead, not all that there is", function()
    local one, other = pair()
    local bytes, sent = ("x"):rep(8 * 1024 * 1024), 0
    for _ = 1, 200 do
      if one:is_writable() then
        local done, _, next_position = one:send(bytes, sent + 1)
        sent = (done or next_position) - 1
      end
      uv.run("nowait")
    end
    assert.is_true(other.last - other.first <= 1)
    assert.is_true(other:pending())
    other:watch(poller, "other", false, false)
    assert.equal(65536, #other:receive())
  end)

  it("is over after bytes for which there was no memory: what comes after them is not taken", function()
    local one = pair()
    one:watch(poller, "owner", true, false)
    local inbox = one.inbox
    one.inbox = setmetatable({}, { __newindex = function() error("not enough memory", 0) end })
    assert.is_false(pcall(one.on_read, nil, "lost"))
    one.inbox = inbox
    one.on_read(nil, "late")
    assert.same({ nil, "reset" }, { one:receive() })
    assert.equal(one, marks[#marks])
  end)

  it("tells why it cannot be connected, and that a reset is no end", function()
    local failing = keep(transports.connect({ "tcp4", "127.0.0.1" }, ports.refusing()))
    assert.equal("connection refused", wait(function()
      local is_connected, why = failing:connected()
      return is_connected == nil and why
    end))
    local one, other = pair()
    other:close(0)
    assert.equal("reset", wait(function()
      local _, why = one:receive()
      return why ~= "timeout" and why
    end))
    assert.same({ nil, "closed" }, { other:receive() })
    assert.equal(-1, other:getfd())
  end)

  it("has what came before a reset received before sending fails", function()
    local one, other = pair()
    other:send("last words", 1)
    other:close(0)
    wait(function() return one:is_readable() end)
    one:send("x", 1)
    assert.equal("last words", (one:receive()))
    assert.is_truthy(wait(function() return one.ended end))
    assert.is_nil(one:send("x", 1))
  end)

  it("looks names up, and tells what is wrong with one", function()
    local reason = needs.reason("a name service that knows localhost")
    if reason then return pending(reason) end
    local function answer(name)
      local look_up = keep(transports.look_up(name))
      look_up:watch(poller, "name", true, false)
      wait(function() return look_up:is_readable() end)
      local text = look_up:receive()
      assert.same({ nil, "closed" }, { look_up:receive() })
      return text
    end
    local known = answer("localhost")
    assert.is_truthy(known:find("127.0.0.1:0\n", 1, true) or known:find("[::1]:0\n", 1, true), known)
    assert.matches("^[^\n]+$", answer("nothing.invalid"))
  end)

  it("tells why it cannot listen", function()
    local first = keep(transports.listen("tcp4", "127.0.0.1", 0, 5))
    local _, port = first:getsockname()
    assert.same({ nil, "address already in use" }, { transports.listen("tcp4", "127.0.0.1", port, 5) })
    assert.matches("Invalid IP address", select(2, transports.listen("tcp4", "nowhere", 0, 5)))
    assert.same({ nil, "timeout" }, { first:accept() })
  end)
end)
