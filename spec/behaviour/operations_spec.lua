--- Going through the connections of a context.
-- @module spec.behaviour.operations_spec
local client = require("spec.support.client")
local peer = require("spec.support.peer")
local server = require("spec.support.server")

describe("context:connections", function()
  after_each(server.stop_all)

  local function collect(context)
    local seen = {}
    for ws in context:connections() do
      assert.is_nil(seen[ws])
      seen[ws] = true
    end
    return seen
  end

  local function count(set)
    local found = 0
    for _ in pairs(set) do found = found + 1 end
    return found
  end

  it("goes through the open WebSockets of both directions, and nothing else", function()
    local handler, log = server.recorder()
    local s = server.start({ protocols = { a = handler } })
    assert.same({}, collect(s.context))
    local c = client.open(s, "a")
    client.open(s, "a")
    client.connect(s)
    local other = peer.listen(s)
    local dialled = other:connect()
    s:settle()
    assert.same({ [log.ws[1]] = true, [log.ws[2]] = true }, collect(s.context))
    other:accept()
    s:pump(function() return count(collect(s.context)) == 3 end, "the connection of its own")
    assert.is_true(collect(s.context)[dialled])
    c:send_close(1000)
    s:pump(function() return #log.closed == 1 end)
    assert.same({ [log.ws[2]] = true, [dialled] = true }, collect(s.context))
  end)

  it("takes it that connections end while it goes on", function()
    local handler, log = server.recorder()
    local s = server.start({ protocols = { a = handler } })
    for _ = 1, 20 do client.open(s, "a") end
    local seen = {}
    for ws in s.context:connections() do
      seen[ws] = true
      if count(seen) == 5 then
        for _, other in ipairs(log.ws) do
          if not seen[other] then other:close(0) end
        end
      end
    end
    assert.equal(5, count(seen))
    assert.equal(15, #log.closed)
  end)

  it("takes it that connections begin while it goes on, also in the place of one that has ended", function()
    local handler, log = server.recorder()
    local s = server.start({ protocols = { a = handler } })
    for _ = 1, 10 do client.open(s, "a") end
    local rounds, seen = 0, {}
    for ws in s.context:connections() do
      assert.is_nil(seen[ws])
      seen[ws], rounds = true, rounds + 1
      if rounds <= 5 then
        ws:close(0)
        client.open(s, "a")
        client.open(s, "a")
      end
    end
    for i = 1, 10 do assert.is_true(seen[log.ws[i]]) end
    assert.is_true(rounds <= 20)
  end)

  it("lets all be closed in a callback", function()
    local handler, log = server.recorder()
    local s = server.start({ protocols = { a = handler } })
    local clients = {}
    for i = 1, 5 do clients[i] = client.open(s, "a") end
    log.ws[3]:on_receive(function()
      for ws in s.context:connections() do ws:close(4000, "all") end
    end)
    clients[3]:text("x")
    for i = 1, 5 do assert.equal(4000, (clients[i]:close_code())) end
  end)

  it("raises after destroy, and without its object", function()
    local s = server.start({})
    assert.error_matches(function() s.context.connections() end, "context:connections must be called with a colon")
    s.context:destroy()
    assert.error_matches(function() s.context:connections() end, "websocket context destroyed$")
  end)
end)
