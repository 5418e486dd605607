--- What comes from the peer: breaches and their close codes, whole messages, pings.
-- @module spec.behaviour.session_spec
local server = require("spec.support.server")
local client = require("spec.support.client")

local function pair(options)
  local handler, log = server.recorder()
  options = options or {}
  options.protocols = { a = handler }
  local s = server.start(options)
  return s, client.open(s, "a"), log
end

-- RFC 6455: what the peer sends, and the close code that answers it.
local BREACHES = {
  { "an unmasked frame", 1002, "protocol", function() return "\129\1x" end },
  { "a reserved bit", 1002, "protocol", function() return "\193\128\0\0\0\0" end },
  { "a reserved data opcode", 1002, "protocol", function() return "\131\128\0\0\0\0" end },
  { "a reserved control opcode", 1002, "protocol", function() return "\139\128\0\0\0\0" end },
  { "a fragmented ping", 1002, "protocol", function() return "\9\128\0\0\0\0" end },
  { "a ping of 126 bytes", 1002, "protocol", function() return "\137\254\0\126\0\0\0\0" .. ("x"):rep(126) end },
  { "a length not in the shortest form", 1002, "protocol", function() return "\130\254\0\5\0\0\0\0hello" end },
  { "a length with the top bit", 1002, "protocol",
    function() return "\130\255\128\0\0\0\0\0\0\1\0\0\0\0x" end },
  { "a continuation of nothing", 1002, "protocol", function(c) return c:frame(0, "x") end },
  { "a message inside a message", 1002, "protocol", function(c) return c:frame(1, "x", false) .. c:frame(1, "y") end },
  { "a close frame of one byte", 1002, "protocol", function(c) return c:frame(8, "\3") end },
  { "close code 999", 1002, "protocol", function(c) return c:frame(8, "\3\231") end },
  { "close code 1004", 1002, "protocol", function(c) return c:frame(8, "\3\236") end },
  { "close code 1005", 1002, "protocol", function(c) return c:frame(8, "\3\237") end },
  { "close code 1006", 1002, "protocol", function(c) return c:frame(8, "\3\238") end },
  { "close code 1015", 1002, "protocol", function(c) return c:frame(8, "\3\247") end },
  { "close code 5000", 1002, "protocol", function(c) return c:frame(8, "\19\136") end },
  { "a close reason that is not UTF-8", 1007, "utf8", function(c) return c:frame(8, "\3\232\255") end },
  { "text that is not UTF-8", 1007, "utf8", function(c) return c:frame(1, "\255") end },
  { "text that is not UTF-8 over two fragments", 1007, "utf8",
    function(c) return c:frame(1, "\226", false) .. c:frame(0, "x") end },
  { "a message past max_message_bytes", 1009, "too_big", function(c) return c:frame(2, ("x"):rep(1001)) end },
  { "fragments past max_message_bytes", 1009, "too_big",
    function(c) return c:frame(2, ("x"):rep(600), false) .. c:frame(0, ("x"):rep(401)) end },
}

describe("a breach by the peer", function()
  after_each(server.stop_all)

  for _, breach in ipairs(BREACHES) do
    local what, code, why, bytes = breach[1], breach[2], breach[3], breach[4]
    it(("%s: %d, nothing delivered, others go on"):format(what, code), function()
      local s, c, log = pair({ max_message_bytes = 1000 })
      local other = client.open(s, "a")
      c:send(bytes(c) .. c:frame(1, "after"))
      assert.same({ code, "" }, { c:close_code() })
      assert.equal("closed", c:await_end())
      -- The server's sending direction is shut; it waits for the peer's end no longer than close_timeout.
      c:close()
      s:pump(function() return log.closed[1] end)
      local _, got_code, reason, clean, got_why = (table.unpack or unpack)(log.closed[1]) -- luacheck: ignore
      assert.same({ code, false, why, "string" }, { got_code, clean, got_why, type(reason) })
      assert.equal(0, #log.messages)
      other:text("still here")
      s:pump(function() return #log.messages == 1 end)
      assert.equal(1, #log.closed)
    end)
  end
end)

describe("messages from the peer", function()
  after_each(server.stop_all)

  it("in fragments with control frames between are whole; each ping is answered at its place", function()
    local s, c, log = pair()
    c:send(c:frame(1, "a", false) .. c:frame(9, "p1") .. c:frame(0, "", false) .. c:frame(10, "unasked")
      .. c:frame(0, "b", false) .. c:frame(9, "p2") .. c:frame(0, "c"))
    s:pump(function() return #log.messages == 1 end)
    assert.same({ "abc", 0 }, { log.messages[1][2], log.messages[1][3] })
    assert.same({ 10, "p1" }, { c:message() })
    assert.same({ 10, "p2" }, { c:message() })
  end)

  it("pings are answered with the same payload, empty and of 125 bytes", function()
    local _, c = pair()
    for _, payload in ipairs({ "", "x", ("x"):rep(125) }) do
      c:write(9, payload)
      assert.same({ 10, payload }, { c:message() })
    end
  end)

  it("an unasked pong does nothing", function()
    local s, c, log = pair()
    c:write(10, "?")
    c:text("x")
    s:pump(function() return #log.messages == 1 end)
    assert.equal(0, #log.closed)
  end)

  it("cut at each byte are the same", function()
    local s, c, log = pair()
    local bytes = c:frame(1, "h\195\164", false) .. c:frame(9, "p") .. c:frame(0, "llo") .. c:frame(2, ("y"):rep(130))
    for cut = 1, #bytes - 1 do
      c:send(bytes:sub(1, cut))
      s:turns(2)
      c:send(bytes:sub(cut + 1))
      s:pump(function() return #log.messages == 2 * cut end)
      assert.same({ "h\195\164llo", ("y"):rep(130) }, { log.messages[2 * cut - 1][2], log.messages[2 * cut][2] })
      assert.same({ 10, "p" }, { c:message() })
    end
  end)

  it("one byte at a time are the same", function()
    local s, c, log = pair()
    for byte in (c:frame(1, "slow", false) .. c:frame(0, "ly")):gmatch(".") do
      c:send(byte)
      s:turns(1)
    end
    s:pump(function() return #log.messages == 1 end)
    assert.equal("slowly", log.messages[1][2])
  end)

  it("a thousand in one packet arrive in order", function()
    local s, c, log = pair()
    local frames = {}
    for i = 1, 1000 do frames[i] = c:frame(1, tostring(i)) end
    c:send(table.concat(frames))
    s:pump(function() return #log.messages == 1000 end)
    for i = 1, 1000 do assert.equal(tostring(i), log.messages[i][2]) end
  end)
end)
