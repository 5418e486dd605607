--- Compressed connections as applications see them: what is compressed, what is not, what it costs on the wire.
-- @module spec.behaviour.compressed_spec
local compressed = require("spec.support.compressed")
local peer = require("spec.support.peer")
local server = require("spec.support.server")
local support = require("spec.support.engine")
local websockets = require("websockets")

local engine = require("websockets.engine.loader").choose()

local TEXT, PACKED_TEXT, PACKED_BINARY = compressed.TEXT, compressed.PACKED_TEXT, 0xC2
local start, open, read_frame = compressed.start, compressed.open, compressed.read_frame

if not compressed.is_available() then
  pending("needs lua-zlib or the accelerator")
  return
end

describe("a compressed connection", function()
  after_each(server.stop_all)

  it("begins with an answer to the offer, and none without it or without the option", function()
    local s = start({ compression = true })
    assert.equal("permessage-deflate", open(s).headers["sec-websocket-extensions"])
    assert.is_nil(open(s, "").headers["sec-websocket-extensions"])
    assert.is_nil(open(s, "Sec-WebSocket-Extensions: x-other\r\n").headers["sec-websocket-extensions"])
    assert.is_nil(open((start())).headers["sec-websocket-extensions"])
  end)

  it("sends text and binary in few bytes, fewer with the context of the message before", function()
    local s, log = start({ compression = true })
    local c = open(s)
    local ws = log.ws[1]
    ws:write(TEXT)
    ws:write(TEXT, websockets.WRITE_BINARY)
    local first, payload = read_frame(c)
    assert.equal(PACKED_TEXT, first)
    assert.is_true(#payload < #TEXT / 10)
    local inflater = support.inflater(engine, { window_bits = 15 })
    assert.equal(TEXT, inflater:inflate(payload, true, #TEXT))
    local second, shorter = read_frame(c)
    assert.equal(PACKED_BINARY, second)
    assert.is_true(#shorter <= #payload / 2)
    assert.equal(TEXT, inflater:inflate(shorter, true, #TEXT))
  end)

  it("takes compressed messages, whole and in fragments", function()
    local s, log = start({ compression = true })
    local c = open(s)
    local deflater = engine.deflater({ window_bits = 15, level = 6 })
    local payload = deflater:deflate(TEXT)
    c:send((c:frame(1, payload):gsub("^.", "\193")))
    payload = deflater:deflate(TEXT)
    c:send((c:frame(2, payload:sub(1, 5), false):gsub("^.", "\66")))
    c:send(c:frame(0, payload:sub(6)))
    s:pump(function() return log.messages[2] end)
    assert.same({ TEXT, 0 }, { log.messages[1][2], log.messages[1][3] })
    assert.same({ TEXT, 1 }, { log.messages[2][2], log.messages[2][3] })
  end)

  it("sends plain with WRITE_NO_COMPRESSION, below the threshold, in fragments, and what does not shrink", function()
    local s, log = start({ compression = { threshold = 20, server_no_context_takeover = true } })
    local c = open(s)
    local ws = log.ws[1]
    ws:write(TEXT, websockets.WRITE_TEXT + websockets.WRITE_NO_COMPRESSION)
    assert.same({ 0x81, TEXT }, { read_frame(c) })
    ws:write(TEXT, websockets.WRITE_BINARY + websockets.WRITE_NO_COMPRESSION)
    assert.same({ 0x82, TEXT }, { read_frame(c) })
    ws:write("aaaaaaaaaa")
    assert.same({ 0x81, "aaaaaaaaaa" }, { read_frame(c) })
    ws:write("abcdefghijklmnopqrstuvwxyz")
    assert.same({ 0x81, "abcdefghijklmnopqrstuvwxyz" }, { read_frame(c) })
    ws:write(TEXT, websockets.WRITE_NO_FIN)
    -- A whole message waits for the last fragment and keeps its own flags.
    ws:write(TEXT, websockets.WRITE_BINARY + websockets.WRITE_NO_COMPRESSION)
    ws:write(TEXT, websockets.WRITE_BINARY)
    ws:write(TEXT, websockets.WRITE_CONTINUATION)
    assert.same({ 0x01, TEXT }, { read_frame(c) })
    assert.same({ 0x80, TEXT }, { read_frame(c) })
    assert.same({ 0x82, TEXT }, { read_frame(c) })
    assert.equal(PACKED_BINARY, (read_frame(c)))
    ws:ping(("p"):rep(100))
    assert.same({ 0x89, ("p"):rep(100) }, { read_frame(c) })
  end)

  it("between our own client and server: both directions, contexts kept or not, any window", function()
    for _, form in ipairs({ true, { server_no_context_takeover = true }, { client_no_context_takeover = true },
      { server_max_window_bits = 9, client_max_window_bits = 9, level = 1 },
      { server_no_context_takeover = true, client_no_context_takeover = true, threshold = 0, level = 9 } }) do
      local s, seen = start({ compression = form }, server.echo)
      local ws, log = peer.watch(s.context:connect(("ws://127.0.0.1:%d/"):format(s.port), { protocols = { "a" } }))
      s:pump(function() return log.open == 1 end)
      for i = 1, 3 do
        ws:write(TEXT)
        ws:write("short", websockets.WRITE_BINARY)
        ws:write("", websockets.WRITE_TEXT)
        s:pump(function() return log.messages[3 * i] end)
        assert.same({ { TEXT, 0 }, { "short", 1 }, { "", 0 } },
          { log.messages[3 * i - 2], log.messages[3 * i - 1], log.messages[3 * i] })
      end
      ws:close(1000)
      s:pump(function() return log.closed[1] and seen.closed[1] end)
      assert.same({ 1000, "", true, "closed" }, log.closed[1])
      server.stop_all()
    end
  end)

  it("can be had for one client connection, or declined by it", function()
    local s = start({ compression = true })
    local p = peer.listen(s)
    p:connect()
    assert.equal("permessage-deflate; client_max_window_bits, "
      .. "permessage-deflate; client_no_context_takeover; client_max_window_bits",
      (select(2, p:read_request()))["sec-websocket-extensions"])
    p = peer.listen(s)
    p:connect({ compression = false })
    assert.is_nil((select(2, p:read_request()))["sec-websocket-extensions"])
    s = start()
    p = peer.listen(s)
    p:connect({ compression = { server_max_window_bits = 10 } })
    assert.equal("permessage-deflate; server_max_window_bits=10; client_max_window_bits, "
      .. "permessage-deflate; client_no_context_takeover; server_max_window_bits=10; client_max_window_bits",
      (select(2, p:read_request()))["sec-websocket-extensions"])
    p = peer.listen(s)
    p:connect({ compression = true, slow_consumer = "drop_old" })
    assert.equal("permessage-deflate; client_no_context_takeover; client_max_window_bits",
      (select(2, p:read_request()))["sec-websocket-extensions"])
  end)
end)

describe("a compressed message that inflates beyond max_message_bytes", function()
  after_each(server.stop_all)

  it("is closed 1009 while it is inflated; others go on", function()
    local s, log = start({ compression = true, max_message_bytes = 100000 })
    local other, c = open(s), open(s)
    local deflater = engine.deflater({ window_bits = 15, level = 6, no_context_takeover = true })
    local function send(size)
      return c:send((c:frame(2, deflater:deflate(("x"):rep(size))):gsub("^.", "\194")))
    end
    send(100000)
    s:pump(function() return log.messages[1] end)
    assert.equal(100000, #log.messages[1][2])
    send(100001)
    assert.equal(1009, (c:close_code()))
    c:close()
    s:pump(function() return log.closed[1] end)
    assert.same({ 1009, false, "too_big" }, { log.closed[1][2], log.closed[1][4], log.closed[1][5] })
    other:text("still here")
    s:pump(function() return log.messages[2] end)
  end)

  it("and one that is no DEFLATE data is closed 1002", function()
    local s, log = start({ compression = true })
    local c = open(s)
    c:send((c:frame(2, "\255\255\255"):gsub("^.", "\194")))
    assert.equal(1002, (c:close_code()))
    c:close()
    s:pump(function() return log.closed[1] end)
    assert.equal("protocol", log.closed[1][5])
  end)

  it("and one without the extension is closed 1002", function()
    local s = start({ compression = true })
    local c = open(s, "")
    c:send((c:frame(2, "\0"):gsub("^.", "\194")))
    assert.equal(1002, (c:close_code()))
  end)
end)
