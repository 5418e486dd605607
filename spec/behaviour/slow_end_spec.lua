--- Ends that wait behind many bytes: a peer that goes on reading, however slowly, gets all of them and the close frame.
-- @module spec.behaviour.slow_end_spec
local client = require("spec.support.client")
local server = require("spec.support.server")
local socket = require("socket")

local MIB = 1024 * 1024
local MESSAGES, WRITE_BINARY = 12, 1
-- Less than what has to be free before a full socket is reported as writable.
local READ_BYTES = 192 * 1024
local STEP_SECONDS = 4.9

-- How each connection comes to its end while the messages wait.
local ENDS = {
  [1000] = { options = {}, begin = function(ws) ws:close(1000) end },
  [1001] = { options = { idle_timeout = 10 }, begin = function(_, _, run) run:advance(10) end },
  [1002] = { options = {}, begin = function(_, peer) peer:send("\131\128abcd") end },
  [1009] = { options = { max_message_bytes = 10 }, begin = function(_, peer) peer:text(("y"):rep(11)) end },
}

-- Reads so many bytes, or up to the end. Returns the last few that came, how many, and whether that was the end.
local function read_some(peer, tail)
  local deadline, count = socket.gettime() + 5, 0
  repeat
    local bytes, why, partial = peer.connection:receive(READ_BYTES - count)
    bytes = bytes or partial
    count, tail = count + #bytes, (tail .. bytes:sub(-8)):sub(-8)
    if why == "closed" then return tail, count, true end
    if why == "timeout" then socket.select({ peer.connection }, nil, 0.01) end
    -- What is left in the system may be less.
  until count == READ_BYTES or socket.gettime() > deadline or (why == "timeout" and bytes == "")
  return tail, count, false
end

describe("a peer that reads slowly without pause", function()
  after_each(server.stop_all)

  for code, case in pairs(ENDS) do
    it("gets everything, and the close frame " .. code, function()
      local handler, log = server.recorder()
      case.options.protocols, case.options.ping_interval = { a = handler }, false
      local run = server.start(case.options)
      run:fake_time()
      local peer = client.open(run, {
        protocol = "a", prepare = function(connection) connection:setoption("recv-buffer-size", 65536) end,
      })
      local ws = log.ws[1]
      for _ = 1, MESSAGES do ws:write(("x"):rep(MIB), WRITE_BINARY) end
      run:calm(ws)
      assert.is_true(ws:buffered() > 2 * MIB)
      case.begin(ws, peer, run)
      run:settle()
      local last = "\136\2" .. string.char(math.floor(code / 256), code % 256)
      local tail, total, count, is_over = "", #peer:take()
      repeat
        tail, count, is_over = read_some(peer, tail)
        total = total + count
        if tail:sub(-4) == last then break end
        run:advance(STEP_SECONDS)
        if ws:buffered() > 0 then assert.equal(0, #log.closed) end
      until is_over
      assert.equal(last, tail:sub(-4))
      assert.equal(MESSAGES * (MIB + 10) + 4, total)
    end)
  end

  it("but one that takes nothing more is let go after close_timeout", function()
    local handler, log = server.recorder()
    local run = server.start({ protocols = { a = handler }, ping_interval = false })
    run:fake_time()
    client.open(run, "a")
    local ws = log.ws[1]
    for _ = 1, MESSAGES do ws:write(("x"):rep(MIB), WRITE_BINARY) end
    run:calm(ws)
    ws:close(1000)
    run:settle()
    run:expire(ws, 5, function() return log.closed[1] end)
    assert.same({ 1006, "", false, "timeout" }, { select(2, (table.unpack or unpack)(log.closed[1])) })
  end)
end)
