--- Attacks on messages and requests: each limit, at and one past, while another connection goes on.
-- @module spec.behaviour.limits_spec
local client = require("spec.support.client")
local inside = require("spec.support.inside")
local server = require("spec.support.server")

local BINARY = 2
local rep, char = string.rep, string.char

-- A server with an echo protocol, its log, and a peer that must not notice anything.
local function start(options)
  local handler, log = server.recorder(server.echo)
  options.protocols = { echo = handler, quiet = server.echo }
  local run = server.start(options)
  return run, log, client.open(run, "quiet")
end

local function assert_goes_on(witness)
  witness:text("still here")
  assert.same({ 1, "still here" }, { witness:message() })
end

local function assert_failed(run, log, attacker, witness, code, why)
  assert.equal(code, attacker:close_code())
  attacker:close()
  run:pump(function() return log.closed[1] end, "on_closed")
  assert.equal(code, log.closed[1][2])
  assert.is_false(log.closed[1][4])
  assert.equal(why, log.closed[1][5])
  assert_goes_on(witness)
end

describe("limits of messages", function()
  after_each(server.stop_all)

  it("max_message_bytes: a message of exactly the limit is delivered, one byte more is 1009", function()
    local run, log, witness = start({ max_message_bytes = 1000 })
    local peer = client.open(run, "echo")
    peer:write(BINARY, rep("a", 1000))
    local opcode, payload = peer:message()
    assert.equal(BINARY, opcode)
    assert.equal(1000, #payload)
    peer:write(BINARY, rep("a", 1001))
    assert_failed(run, log, peer, witness, 1009, "too_big")
  end)

  it("max_message_bytes: the default is 1 MiB", function()
    local run, log, witness = start({})
    local peer = client.open(run, "echo")
    peer:write(BINARY, rep("a", 1048576))
    assert.equal(1048576, #select(2, peer:message()))
    -- The header alone tells: no payload needs to come.
    peer:send(char(0x82, 0xFF) .. "\0\0\0\0\0\16\0\1" .. "\0\0\0\0")
    assert_failed(run, log, peer, witness, 1009, "too_big")
  end)

  it("max_message_bytes: counts all fragments of a message", function()
    local run, log, witness = start({ max_message_bytes = 1000 })
    local peer = client.open(run, "echo")
    peer:send(peer:frame(BINARY, rep("a", 600), false) .. peer:frame(0, rep("a", 400)))
    assert.equal(1000, #select(2, peer:message()))
    peer:send(peer:frame(BINARY, rep("a", 600), false) .. peer:frame(0, rep("a", 401)))
    assert_failed(run, log, peer, witness, 1009, "too_big")
  end)

  it("max_message_bytes: a declared length reserves no memory", function()
    local run, log, witness = start({ max_message_bytes = 2 ^ 40 })
    local peer = client.open(run, "echo")
    collectgarbage()
    local before = collectgarbage("count")
    peer:send(char(0x82, 0xFF) .. "\0\0\0\255\0\0\0\0" .. "\0\0\0\0" .. "ab")
    run:settle()
    assert.is_true(collectgarbage("count") - before < 1024)
    assert.equal(0, #log.closed)
    assert_goes_on(witness)
  end)

  it("frame lengths: the top bit and non-minimal forms are 1002", function()
    for _, header in ipairs({
      char(0x82, 0xFF) .. "\128\0\0\0\0\0\0\1",
      char(0x82, 0xFF) .. "\0\0\0\0\0\0\255\255", char(0x82, 0xFE) .. "\0\125",
    }) do
      local run, log, witness = start({})
      local peer = client.open(run, "echo")
      peer:send(header .. "\0\0\0\0")
      assert_failed(run, log, peer, witness, 1002, "protocol")
    end
  end)

  it("max_fragments: as many as the limit are joined, one more is 1009", function()
    local run, log, witness = start({ max_fragments = 4 })
    local peer = client.open(run, "echo")
    local function fragments(count)
      local frames = { peer:frame(BINARY, "a", false) }
      for i = 2, count do frames[i] = peer:frame(0, "a", i == count) end
      return table.concat(frames)
    end
    peer:send(fragments(4))
    assert.same({ BINARY, "aaaa" }, { peer:message() })
    peer:send(fragments(5))
    assert_failed(run, log, peer, witness, 1009, "too_big")
  end)

  it("max_fragments: the default is 1024", function()
    local run, log, witness = start({})
    local peer = client.open(run, "echo")
    local middle = rep(peer:frame(0, "", false), 1022)
    peer:send(peer:frame(BINARY, "a", false) .. middle .. peer:frame(0, "z"))
    assert.same({ BINARY, "az" }, { peer:message() })
    peer:send(peer:frame(BINARY, "a", false) .. middle .. peer:frame(0, "", false) .. peer:frame(0, "z"))
    assert_failed(run, log, peer, witness, 1009, "too_big")
  end)

  it("max_unfinished_total_bytes: past it the oldest message without progress is closed 1009, others go on", function()
    local run, log, witness = start({ max_unfinished_total_bytes = 4096 })
    local first, second = client.open(run, "echo"), client.open(run, "quiet")
    first:write(BINARY, rep("a", 2000), false)
    run:settle()
    second:write(BINARY, rep("b", 2000), false)
    assert_failed(run, log, first, witness, 1009, "too_big")
    second:write(0, "z")
    assert.same({ BINARY, rep("b", 2000) .. "z" }, { second:message() })
    assert.equal(0, inside.budget(run.context))
  end)

  it("max_unfinished_total_bytes: held by peers that hardly send, it serves others all the same", function()
    local run, _, witness = start({ max_unfinished_total_bytes = 2 ^ 20 })
    local holders = {}
    for i = 1, 40 do
      holders[i] = client.open(run, "echo")
      holders[i]:write(BINARY, rep("a", 26000), false)
    end
    run:settle()
    for i = 1, 40 do holders[i]:write(0, "a", false) end
    local other = client.open(run, "quiet")
    other:write(1, rep("s", 100), false)
    run:settle()
    other:write(0, rep("s", 100))
    assert.same({ 1, rep("s", 200) }, { other:message() })
    local frame = other:frame(BINARY, rep("b", 300000))
    for from = 1, #frame, 20000 do
      other:send(frame:sub(from, from + 19999))
      run:settle()
    end
    assert.equal(300000, #select(2, other:message()))
    assert.is_true(inside.budget(run.context) <= 2 ^ 20)
    assert.equal(1009, holders[1]:close_code())
    assert_goes_on(witness)
  end)

  it("message_timeout: a message that does not end, and does not grow by 64 KiB, is closed 1008", function()
    local run, log, witness = start({ ping_interval = false })
    run:fake_time()
    local peer, fast = client.open(run, "echo"), client.open(run, "quiet")
    for _, one in ipairs({ peer, fast }) do one:write(BINARY, "a", false) end
    run:settle()
    for _ = 1, 5 do
      run:advance(11)
      peer:write(0, "a", false)
      fast:write(0, rep("a", 20000), false)
      run:settle()
    end
    assert.equal(0, #log.closed)
    run:advance(11)
    assert_failed(run, log, peer, witness, 1008, "timeout")
    fast:write(0, "z")
    assert.equal(100002, #select(2, fast:message()))
    assert.equal(0, inside.budget(run.context))
  end)

  it("max_unfinished_total_bytes: a retained piece is charged at least 128 bytes", function()
    local run, log, witness = start({ max_unfinished_total_bytes = 128 * 8, max_fragments = 1000000 })
    local peer = client.open(run, "echo")
    if server.is_native then
      -- One buffer takes all pieces: there is one to charge for.
      peer:send(peer:frame(BINARY, "a", false))
      run:pump(function() return inside.budget(run.context) == 129 end, "the charge for one byte")
      peer:send(rep(peer:frame(0, "a", false), 896))
      peer:send(peer:frame(0, "a", false))
    else
      peer:send(peer:frame(BINARY, "a", false) .. rep(peer:frame(0, "a", false), 40))
    end
    assert_failed(run, log, peer, witness, 1009, "too_big")
  end)

  it("max_unfinished_total_bytes: a buffer that serves again is charged whole", function()
    local run = start({ max_message_bytes = 2 ^ 21 })
    local first, second = client.open(run, "echo"), client.open(run, "echo")
    first:write(BINARY, rep("a", 1000000))
    assert.equal(1000000, #select(2, first:message()))
    second:write(BINARY, rep("b", 60000), false)
    run:settle()
    local used = inside.budget(run.context)
    assert.is_true(used >= (server.is_native and 1000000 or 60000), used .. " bytes")
    second:write(0, "z")
    assert.equal(60001, #select(2, second:message()))
    assert.equal(0, inside.budget(run.context))
  end)

  it("control frames: fragmented, longer than 125 bytes or of a reserved opcode are 1002, never a crash", function()
    for _, bytes in ipairs({
      char(0x09, 0x80), char(0x89, 0xFE) .. "\0\126", char(0x08, 0x80), char(0x8B, 0x80), char(0x8F, 0x80),
      char(0x8A, 0xFF) .. "\255\255\255\255\255\255\255\255", char(0x83, 0x80), char(0x88, 0x81) .. "\0\0\0\0a",
    }) do
      local run, log, witness = start({})
      local peer = client.open(run, "echo")
      peer:send(bytes .. "\0\0\0\0")
      assert_failed(run, log, peer, witness, 1002, "protocol")
    end
  end)
end)
-- Sends bytes to a server with an on_http handler that answers 200.
local function ask(options, ...)
  options.on_http = function(ws, _, _, _, body) ws:respond(200, nil, tostring(#body)) end
  options.protocols = { quiet = server.echo }
  local run = server.start(options)
  local witness, peer = client.open(run, "quiet"), client.connect(run)
  for _, bytes in ipairs({ ... }) do
    peer:send(bytes)
    run:settle()
  end
  local status, headers, body = peer:response()
  assert_goes_on(witness)
  return status, headers, body, peer
end

-- A request whose head has exactly so many bytes.
local function head_of(size)
  local without = #client.request("/", "X: \r\n")
  return client.request("/", "X: " .. rep("a", size - without) .. "\r\n")
end

local function request_line_of(size)
  return "GET /" .. rep("a", size - #"GET / HTTP/1.1\r\n") .. " HTTP/1.1\r\nHost: a\r\n\r\n"
end

describe("limits of requests", function()
  after_each(server.stop_all)

  it("max_header_bytes: 8 KiB pass, one byte more is 431 and the end", function()
    assert.equal(200, (ask({}, head_of(8192))))
    local status, headers, _, peer = ask({}, head_of(8193))
    assert.equal(431, status)
    assert.equal("close", headers.connection)
    assert.equal("closed", peer:await_end())
  end)

  it("max_header_bytes: an endless header line is refused when the limit is reached, not at its end", function()
    assert.equal(431, (ask({ max_header_bytes = 200 }, "GET / HTTP/1.1\r\nX: " .. rep("a", 300))))
  end)

  it("max_header_lines: 64 pass, 65 are 431", function()
    assert.equal(200, (ask({}, client.request("/", rep("X: a\r\n", 63)))))
    assert.equal(431, (ask({}, client.request("/", rep("X: a\r\n", 64)))))
  end)

  it("max_request_line_bytes: at the limit it passes, one byte more is 414", function()
    assert.equal(200, (ask({ max_request_line_bytes = 100 }, request_line_of(100))))
    assert.equal(414, (ask({ max_request_line_bytes = 100 }, request_line_of(101))))
    assert.equal(414, (ask({}, "GET /" .. rep("a", 9000))))
  end)

  it("max_body_bytes: at the limit it passes, one byte more is 413 before it has come", function()
    local status, _, body = ask({ max_body_bytes = 10 },
      client.request("/", "Content-Length: 10\r\n", "POST", "0123456789"))
    assert.same({ 200, "10" }, { status, body })
    local headers, peer
    status, headers, _, peer = ask({ max_body_bytes = 10 }, client.request("/", "Content-Length: 11\r\n", "POST"))
    assert.same({ 413, "close" }, { status, headers.connection })
    assert.equal("closed", peer:await_end())
  end)

  it("max_body_bytes: holds for a chunked body, in all and in one chunk", function()
    local chunked = client.request("/", "Transfer-Encoding: chunked\r\n", "POST")
    local status, _, body = ask({ max_body_bytes = 10 }, chunked .. "5\r\nabcde\r\n5\r\nabcde\r\n0\r\n\r\n")
    assert.same({ 200, "10" }, { status, body })
    assert.equal(413, (ask({ max_body_bytes = 10 }, chunked .. "5\r\nabcde\r\n6\r\n")))
    assert.equal(413, (ask({ max_body_bytes = 10 }, chunked .. "FFFFFFFF\r\n")))
    assert.equal(400, (ask({ max_body_bytes = 10 }, chunked .. rep("F", 20) .. "\r\n")))
  end)

  it("max_body_bytes: the default is 1 MiB", function()
    local status, _, body = ask({}, client.request("/", "Content-Length: 1048576\r\n", "POST", rep("a", 1048576)))
    assert.same({ 200, "1048576" }, { status, body })
    assert.equal(413, (ask({}, client.request("/", "Content-Length: 1048577\r\n", "POST"))))
  end)

  it("Sec-WebSocket-Key: anything but 24 characters for 16 bytes is 400", function()
    local keys = { "", "dGhlIHNhbXBsZSBub25jZQ", rep("a", 24), rep("A", 8000), "dGhlIHNhbXBsZSBub25jZQ=\11" }
    for _, key in ipairs(keys) do
      local status = ask({}, (client.upgrade({ protocol = "quiet" }):gsub(client.KEY, key)))
      assert.equal(400, status)
    end
  end)
end)
