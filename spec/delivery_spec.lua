--- Messages of many connections in one turn: whatever a callback does, nobody loses one.
-- @module spec.delivery_spec
local client = require("spec.support.client")
local server = require("spec.support.server")

local PEERS = 5

-- Everybody's messages are here before the turn begins.
local function send_all(s, peers)
  s:settle()
  for number, c in ipairs(peers) do
    c:send(c:frame(1, "a" .. number) .. c:frame(1, "b" .. number))
  end
end

local function open_all(s, protocol)
  local peers = {}
  for number = 1, PEERS do peers[number] = client.open(s, protocol) end
  return peers
end

local function numbered(seen, act)
  return function(ws)
    ws:on_receive(function(it, data)
      seen[#seen + 1] = data
      act(it, data)
    end)
  end
end

local function sorted(seen)
  local copy = {}
  for i = 1, #seen do copy[i] = seen[i] end
  table.sort(copy)
  return table.concat(copy, " ")
end

describe("delivery", function()
  after_each(server.stop_all)

  it("goes on behind a callback that raises, with its own messages and those of the others", function()
    local seen, errors = {}, {}
    local s = server.start({
      on_error = function(err, ws) errors[#errors + 1] = { err, ws } end,
      protocols = { a = numbered(seen, function() error("no", 0) end) },
    })
    local peers = open_all(s, "a")
    send_all(s, peers)
    s:pump(function() return #seen == 2 * PEERS end, "all messages")
    assert.equal("a1 a2 a3 a4 a5 b1 b2 b3 b4 b5", sorted(seen))
    assert.equal(2 * PEERS, #errors)
    for _, raised in ipairs(errors) do
      assert.equal("no", raised[1])
      assert.is_table(raised[2])
    end
  end)

  it("passes over a connection that another one's callback has ended in the same turn", function()
    local seen, all, closed = {}, {}, {}
    local s = server.start({ protocols = { a = function(ws)
      all[#all + 1] = ws
      ws:on_closed(function() closed[#closed + 1] = ws end)
      ws:on_receive(function(it, data)
        seen[#seen + 1] = data
        for _, other in ipairs(all) do
          if other ~= it then other:close(0) end
        end
      end)
    end } })
    send_all(s, open_all(s, "a"))
    s:pump(function() return #closed == PEERS - 1 end, "the others' ends")
    assert.equal(2, #seen)
    assert.equal(seen[1]:sub(2), seen[2]:sub(2))
    assert.equal(1, s.context.connection_count)
  end)

  it("keeps what is behind a pause for later, and gives the others theirs", function()
    local seen, paused = {}, {}
    local s = server.start({ protocols = { a = numbered(seen, function(it)
      if it:rx_flow_control(false) == 0 then paused[#paused + 1] = it end
    end) } })
    send_all(s, open_all(s, "a"))
    s:pump(function() return #seen == PEERS end, "the first of each")
    assert.equal("a1 a2 a3 a4 a5", sorted(seen))
    for i = 1, PEERS do paused[i]:rx_flow_control(true) end
    s:pump(function() return #seen == 2 * PEERS end, "the second of each")
    assert.equal("a1 a2 a3 a4 a5 b1 b2 b3 b4 b5", sorted(seen))
  end)
end)
