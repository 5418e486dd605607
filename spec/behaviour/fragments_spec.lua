--- Messages that the application sends in fragments, and what must wait for their end.
-- @module spec.behaviour.fragments_spec
local client = require("spec.support.client")
local server = require("spec.support.server")
local websockets = require("websockets")

local function pair(options)
  local handler, log = server.recorder()
  options = options or {}
  options.protocols = options.protocols or { a = handler }
  local s = server.start(options)
  local c = client.open(s, "a")
  return s, c, log.ws[1], log
end

describe("fragments that the application writes", function()
  after_each(server.stop_all)
  local NO_FIN, CONTINUATION = websockets.WRITE_NO_FIN, websockets.WRITE_CONTINUATION

  it("go out as frames 01, 00 and 80", function()
    local _, c, ws = pair()
    assert.equal(0, ws:write("a", websockets.WRITE_TEXT + NO_FIN))
    assert.equal(0, ws:write("b", CONTINUATION + NO_FIN))
    assert.equal(0, ws:write("c", CONTINUATION))
    assert.equal("\1\1a\0\1b\128\1c", c:read(9))
  end)

  it("make other data messages and broadcasts wait until the last of them, in order; a ping passes", function()
    local s, c, ws = pair()
    ws:write("a", websockets.WRITE_BINARY + NO_FIN)
    assert.equal(0, ws:write("later"))
    assert.equal(0, s.context:broadcast("a", "broadcast"))
    assert.equal(0, ws:ping("p"))
    assert.is_true(ws:buffered() >= #"later" + #"broadcast")
    assert.equal(0, ws:write("b", CONTINUATION))
    assert.same({ 9, "p" }, { c:message() })
    assert.same({ 2, "ab" }, { c:message() })
    assert.same({ 1, "later" }, { c:message() })
    assert.same({ 1, "broadcast" }, { c:message() })
    s.context:broadcast("a", "again")
    assert.same({ 1, "again" }, { c:message() })
  end)

  it("misplaced give -1 and 'fragment'", function()
    local _, c, ws = pair()
    assert.same({ -1, "fragment" }, { ws:write("x", CONTINUATION) })
    assert.same({ -1, "fragment" }, { ws:write("x", CONTINUATION + NO_FIN) })
    assert.equal(0, ws:write("a", NO_FIN))
    assert.same({ -1, "fragment" }, { ws:write("b", NO_FIN) })
    assert.equal(0, ws:write("c", CONTINUATION))
    assert.same({ 1, "ac" }, { c:message() })
  end)

  it("may cut a character, but must be UTF-8 together", function()
    local _, c, ws = pair()
    assert.equal(0, ws:write("\226\130", NO_FIN))
    assert.same({ -1, "utf8" }, { ws:write("x", CONTINUATION) })
    assert.same({ -1, "utf8" }, { ws:write("", CONTINUATION) })
    assert.equal(0, ws:write("\172", CONTINUATION))
    assert.same({ 1, "\226\130\172" }, { c:message() })
  end)

  it("held messages are checked when they are written", function()
    local _, _, ws = pair()
    ws:write("a", NO_FIN)
    assert.same({ -1, "utf8" }, { ws:write("\255") })
  end)

  it("held messages fall under max_buffered_bytes, together with what waits to be sent", function()
    local results = {}
    local s, c, _, log = pair({ max_buffered_bytes = 1000 })
    log.ws[1]:on_receive(function(ws)
      -- Inside a turn the first fragment waits too.
      for _, size in ipairs({ 400, 601, 0 }) do
        local kind = size == 400 and websockets.WRITE_BINARY + NO_FIN or websockets.WRITE_BINARY
        results[#results + 1] = { ws:write(("x"):rep(size), kind) }
      end
    end)
    c:text("go")
    s:pump(function() return results[3] end)
    assert.same({ { 0 }, { 0 }, { -1, "full" } }, results)
    assert.equal(0, log.ws[1]:write("y", CONTINUATION))
    assert.same({ 2, ("x"):rep(400) .. "y" }, { c:message() })
    assert.same({ 2, ("x"):rep(601) }, { c:message() })
    assert.equal(0, log.ws[1]:write("again"))
    assert.same({ 1, "again" }, { c:message() })
  end)
end)
