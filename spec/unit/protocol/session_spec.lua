--- RFC 6455 after the opening handshake, without sockets: what each message from the peer leads to, and which fragment
-- may follow which.
-- @module spec.unit.protocol.session_spec
local engine = require("websockets.engine.loader").choose()
local kinds = require("websockets.protocol.kinds")
local session = require("websockets.protocol.session")

local CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10

local function received(is_open, opcode, payload)
  return { session.receive(is_open, opcode, payload) }
end

describe("session.reason_fault", function()
  it("says what is wrong with a reason (RFC 6455 5.5, 5.5.1)", function()
    for reason, fault in pairs({
      [""] = false, [("r"):rep(123)] = false, ["gr\195\188n"] = false, [("r"):rep(124)] = "124 bytes",
      ["\195"] = "bytes that are not UTF-8", [5] = "5", [true] = "true",
    }) do
      assert.equal(fault or nil, session.reason_fault(reason, engine.valid_utf8))
    end
  end)
end)

describe("session.receive", function()
  it("delivers messages with their kind, and pongs", function()
    assert.same({ "message", "gr\195\188n", kinds.TEXT }, received(true, TEXT, "gr\195\188n"))
    assert.same({ "message", "\255", kinds.BINARY }, received(true, BINARY, "\255"))
    assert.same({ "message", "", kinds.TEXT }, received(true, TEXT, ""))
    assert.same({ "pong", "p" }, received(true, PONG, "p"))
  end)

  it("answers a ping by a pong with its payload (RFC 6455 5.5.3)", function()
    assert.same({ "answer", PONG, "" }, received(true, PING, ""))
    assert.same({ "answer", PONG, ("p"):rep(125) }, received(true, PING, ("p"):rep(125)))
  end)

  it("answers a close frame by its own code, whose code is the connection's (RFC 6455 5.5.1, 7.1.5)", function()
    for _, case in ipairs({
      { "\3\232", 1000, "", "\3\232" }, { "\3\233bye", 1001, "bye", "\3\233" },
      { "\19\135" .. ("r"):rep(123), 4999, ("r"):rep(123), "\19\135" },
    }) do
      local expected = { "close", { code = case[2], reason = case[3], clean = true, why = "closed" }, case[4] }
      assert.same(expected, received(true, CLOSE, case[1]))
      assert.same(expected, received(false, CLOSE, case[1]))
    end
  end)

  it("takes a close frame without a code for 1005, and answers without one (RFC 6455 7.1.5)", function()
    assert.same({ "close", { code = 1005, reason = "", clean = true, why = "closed" }, "" }, received(true, CLOSE, ""))
  end)

  it("fails by the code of what the reader found, with its word (RFC 6455 7.1.7)", function()
    for code, word in pairs({ [1002] = "protocol", [1007] = "utf8", [1009] = "too_big" }) do
      assert.same({ "fail", code, "what was wrong", word }, received(true, code, "what was wrong"))
      assert.same({ "fail", code, "what was wrong", word }, received(false, code, "what was wrong"))
    end
  end)

  it("passes over all but close frames and breaches once our close frame is queued (RFC 6455 5.5.1)", function()
    for _, opcode in ipairs({ TEXT, BINARY, PING, PONG }) do assert.same({}, received(false, opcode, "late")) end
  end)
end)

describe("session.place", function()
  local begun = session.new_fragment(TEXT)
  begun.is_begun = true

  it("lets whole messages and fragments go one after the other, as RFC 6455 5.4 says", function()
    for _, opcode in ipairs({ TEXT, BINARY }) do
      assert.equal("whole", session.place(false, opcode, true))
      assert.equal("first", session.place(nil, opcode, false))
    end
    assert.equal("next", session.place(begun, CONTINUATION, false))
    assert.equal("next", session.place(begun, CONTINUATION, true))
  end)

  it("keeps a whole message for later while another is sent in fragments", function()
    assert.equal("later", session.place(begun, TEXT, true))
    assert.equal("later", session.place(begun, BINARY, true))
  end)

  it("has no place for a second message in fragments, nor for a continuation of nothing", function()
    assert.is_nil(session.place(begun, TEXT, false))
    assert.is_nil(session.place(begun, BINARY, false))
    assert.is_nil(session.place(false, CONTINUATION, false))
    assert.is_nil(session.place(false, CONTINUATION, true))
    -- One whose first fragment was not queued.
    assert.is_nil(session.place(session.new_fragment(TEXT), CONTINUATION, true))
  end)
end)

describe("session.check_fragment", function()
  -- Checks a message in fragments as `outbox` does; the position of the one that is refused, or false.
  local function refused_at(opcode, ...)
    local fragment, pieces = session.new_fragment(opcode), { ... }
    for at, piece in ipairs(pieces) do
      local state = session.check_fragment(fragment, piece, at == #pieces, engine.utf8_next)
      if not state then return at end
      fragment.utf8 = state
    end
    return false
  end

  it("begins with nothing held, and knows text from binary", function()
    assert.same({ is_text = true, utf8 = 0, held = {}, held_bytes = 0, is_begun = false }, session.new_fragment(TEXT))
    assert.is_false(session.new_fragment(BINARY).is_text)
  end)

  it("takes characters that are cut between fragments, at every place", function()
    local text = "a\195\188\226\130\172\240\159\152\128z"
    for first = 0, #text do
      for second = first, #text do
        local pieces = { text:sub(1, first), text:sub(first + 1, second), text:sub(second + 1) }
        assert.is_false(refused_at(TEXT, pieces[1], pieces[2], pieces[3]))
      end
    end
  end)

  it("refuses the fragment in which text ceases to be UTF-8 (RFC 6455 8.1)", function()
    assert.equal(1, refused_at(TEXT, "\255", "x"))
    assert.equal(2, refused_at(TEXT, "\226\130", "x"))
    assert.equal(2, refused_at(TEXT, "\237", "\160\128"))
    assert.equal(3, refused_at(TEXT, "\240\159", "\152", "\1"))
  end)

  it("refuses a last fragment that ends inside a character, and no other that does", function()
    assert.equal(2, refused_at(TEXT, "a", "\226\130"))
    assert.equal(2, refused_at(TEXT, "\226\130", ""))
    assert.is_false(refused_at(TEXT, "a\226", "\130", "\172"))
  end)

  it("takes any bytes of a binary message", function()
    assert.is_false(refused_at(BINARY, "\255", "\226\130", ""))
  end)
end)
