--- What `ws:write` takes and refuses, inside a turn, where the short way is tried first, and outside of one.
-- @module spec.behaviour.writing_spec
local client = require("spec.support.client")
local server = require("spec.support.server")

local TEXT, BINARY = 1, 2

describe("ws:write", function()
  after_each(server.stop_all)

  -- Runs a function with an open connection in one of its callbacks and once more outside; `judge` gets the peer and
  -- what the function gave.
  local function both(work, judge)
    local inside
    local handler, log = server.recorder(function(ws)
      ws:on_receive(function(it) inside = { pcall(work, it) } end)
    end)
    local s = server.start({ protocols = { a = handler } })
    local c = client.open(s, "a")
    c:text("go")
    s:pump(function() return inside end, "the callback")
    judge(c, inside)
    judge(c, { pcall(work, log.ws[1]) })
  end

  it("sends text by default and by 0, binary by 1, numbers as their text", function()
    for _, case in ipairs({
      { { "a" }, TEXT, "a" }, { { "b", 0 }, TEXT, "b" }, { { "c\255", 1 }, BINARY, "c\255" },
      { { 12, 0 }, TEXT, "12" }, { { ("d"):rep(5000), 1 }, BINARY, ("d"):rep(5000) }, { { "" }, TEXT, "" },
    }) do
      both(function(ws) return ws:write(case[1][1], case[1][2]) end, function(c, result)
        assert.same({ true, 0 }, result)
        assert.same({ case[2], case[3] }, { c:message() })
      end)
    end
  end)

  it("names the caller's line and what was expected", function()
    for _, case in ipairs({
      { "#1 to 'write' %(string or number expected", function(ws) ws:write({}) end },
      { "#1 to 'write' %(string or number expected", function(ws) ws:write(nil) end },
      { "#1 to 'write' %(string or number expected", function(ws) ws:write(true, 1) end },
      { "#2 to 'write' %(WRITE_ number expected", function(ws) ws:write("a", "0") end },
      { "#2 to 'write' %(WRITE_ number expected", function(ws) ws:write("a", "1") end },
      { "#2 to 'write' %(WRITE_ number expected", function(ws) ws:write("a", {}) end },
      { "#2 to 'write' %(WRITE_ number expected", function(ws) ws:write("a", true) end },
      { "#2 to 'write' %(WRITE_ number expected", function(ws) ws:write("a", false) end },
      { "#1 to 'write' %(at most 125 bytes in a control frame expected, got 126 bytes%)",
        function(ws) ws:write(("x"):rep(126), 5) end },
      { "#1 to 'write' %(close code", function(ws) ws:write("\3\237", 4) end },
      { "#1 to 'write' %(close reason of at most 123 bytes of UTF%-8 expected, got 124 bytes%)",
        function(ws) ws:write("\3\232" .. ("x"):rep(124), 4) end },
    }) do
      both(case[2], function(_, result)
        assert.is_false(result[1])
        assert.is_string(result[2])
        assert.is_truthy(result[2]:find("writing_spec.lua:%d+: bad argument " .. case[1]), result[2])
      end)
    end
  end)

  it("refuses what is no kind, and text that is not UTF-8", function()
    for _, case in ipairs({
      { "a", 7, "type" }, { "a", 0 / 0, "type" }, { "a", 0.5, "type" }, { "\255", 0, "utf8" },
    }) do
      both(function(ws) return ws:write(case[1], case[2]) end, function(c, result)
        assert.same({ true, -1, case[3] }, result)
        assert.is_nil(c:try_message())
      end)
    end
  end)
end)
