--- All that waits to be sent, past the limit of a context: which connections are ended.
-- @module spec.behaviour.relief_spec
local client = require("spec.support.client")
local inside = require("spec.support.inside")
local server = require("spec.support.server")

local MIB = 1024 * 1024
local REQUEST = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

describe("past max_buffered_total_bytes", function()
  after_each(server.stop_all)

  it("answers to HTTP peers that do not read are given up, and a WebSocket with less is served", function()
    local handler, log = server.recorder()
    local s = server.start({
      protocols = { a = handler }, max_buffered_total_bytes = 20 * MIB,
      on_http = function(ws) ws:respond(200, nil, ("x"):rep(8 * MIB)) end,
    })
    local good = client.open(s, "a")
    local hogs = {}
    for i = 1, 8 do
      hogs[i] = client.connect(s)
      hogs[i]:send(REQUEST)
      s:settle()
    end
    assert.is_true(inside.buffered(s.context) <= 20 * MIB)
    assert.is_true(inside.connections(s.context) < 9)
    log.ws[1]:write("still here")
    assert.same({ 1, "still here" }, { good:message() })
  end)

  it("what has begun to leave may take as much again; past that connections are ended", function()
    for _, policy in ipairs({ "drop_old", "drop_new", "close" }) do
      local handler, log = server.recorder()
      local s = server.start({
        protocols = { a = handler }, max_buffered_total_bytes = 8 * MIB, slow_consumer = policy,
      })
      for _ = 1, 6 do client.open(s, "a") end
      s.context:broadcast("a", ("y"):rep(8 * MIB))
      s:settle()
      assert.is_true(inside.buffered(s.context) <= 16 * MIB, policy)
      s:pump(function() return log.closed[1] end, "on_closed")
      assert.equal("slow", log.closed[1][5])
    end
  end)

  it("no more connections end than have to: what those hold that end already is on its way", function()
    local handler, log = server.recorder()
    local s = server.start({ protocols = { a = handler }, max_buffered_total_bytes = 24 * MIB })
    for _ = 1, 10 do client.open(s, "a") end
    s:fake_time()
    -- Of each frame a part has begun to leave, so nothing of it can be dropped.
    s.context:broadcast("a", ("y"):rep(9 * MIB))
    s:settle()
    -- Their sockets may take a little more, which starts `close_timeout` anew.
    for _ = 1, 6 do
      s:advance(5.1)
      s:settle()
    end
    assert.is_true(#log.closed >= 1 and #log.closed <= 8, #log.closed .. " ended")
    for _, closed in ipairs(log.closed) do assert.equal("slow", closed[5]) end
    assert.is_true(inside.buffered(s.context) <= 48 * MIB)
  end)
end)
