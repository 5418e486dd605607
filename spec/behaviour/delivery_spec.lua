--- Messages of many connections in one turn: whatever a callback does, no message is lost.
-- @module spec.behaviour.delivery_spec
local child = require("spec.support.child")
local client = require("spec.support.client")
local inside = require("spec.support.inside")
local server = require("spec.support.server")

local unpack = table.unpack or unpack

local PEERS = 5

-- The messages of all are here before the turn begins.
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

  it("goes on after a callback that raises, with its own messages and those of the others", function()
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
    for _, raised in ipairs(errors) do assert.equal("no", raised[1]) end
  end)

  it("names the connection whose callback raised", function()
    local raisers, blamed = {}, {}
    local s = server.start({
      on_error = function(_, ws) blamed[#blamed + 1] = ws end,
      protocols = { a = function(ws)
        ws:on_receive(function(it, data)
          if data ~= "b3" then return end
          raisers[#raisers + 1] = it
          error("no", 0)
        end)
      end },
    })
    send_all(s, open_all(s, "a"))
    s:pump(function() return #blamed > 0 end, "the error")
    s:settle()
    assert.equal(1, #raisers)
    assert.equal(1, #blamed)
    assert.equal(raisers[1], blamed[1])
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
    assert.equal(1, inside.connections(s.context))
  end)

  it("keeps what follows a pause for later, and gives the others theirs", function()
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

  it("keeps the order of a connection that another one paused and let go on in the same turn", function()
    local seen, all = {}, {}
    local s = server.start({ protocols = { a = function(ws)
      all[#all + 1] = ws
      ws:on_receive(function(it, data)
        seen[data:sub(2)] = (seen[data:sub(2)] or "") .. data:sub(1, 1)
        seen.count = (seen.count or 0) + 1
        for _, other in ipairs(all) do
          if other ~= it then
            other:rx_flow_control(false)
            other:rx_flow_control(data:sub(1, 1) == "b")
          end
        end
        for _, other in ipairs(all) do other:rx_flow_control(true) end
      end)
    end } })
    send_all(s, open_all(s, "a"))
    s:pump(function() return seen.count == 2 * PEERS end, "all messages")
    for number = 1, PEERS do assert.equal("ab", seen[tostring(number)]) end
  end)

  it("writes between connections inside a turn, each message once and in order", function()
    local all = {}
    local s = server.start({ protocols = { a = function(ws)
      all[#all + 1] = ws
      ws:on_receive(function(_, data)
        for _, other in ipairs(all) do assert(other:write(data) == 0) end
      end)
    end } })
    local peers = open_all(s, "a")
    send_all(s, peers)
    for _, c in ipairs(peers) do
      local places = {}
      for place = 1, 2 * PEERS do
        local opcode, data = c:message()
        assert.equal(1, opcode)
        assert.is_nil(places[data])
        places[data] = place
      end
      for number = 1, PEERS do assert.is_true(places["a" .. number] < places["b" .. number]) end
    end
  end)
end)

describe("hub:read", function()
  local OTHER = 3

  after_each(server.stop_all)

  -- What a hub reads from connections that have sent so many bytes each; one in the list is none.
  local function read(bytes)
    local all, readable, owners, opcodes, payloads = {}, {}, {}, {}, {}
    local s = server.start({ protocols = { a = function(ws) all[#all + 1] = ws end } })
    local peers = open_all(s, "a")
    s:settle()
    for _, c in ipairs(peers) do c:send(c:frame(1, ("x"):rep(bytes))) end
    for i = 1, PEERS do readable[i] = inside.token(s.context, all[i]) end
    readable[PEERS + 1] = inside.token(s.context, nil)
    local listed, calls, place, seen = { unpack(all, 1, PEERS) }, 0, 1, {}
    listed[PEERS + 1] = inside.listener(s.context)
    while place <= PEERS + 1 do
      local count
      count, place = inside.read(s.context, readable, place, PEERS + 1, owners, opcodes, payloads)
      calls = calls + 1
      for i = 1, count do seen[#seen + 1] = { owners[i], opcodes[i], payloads[i] } end
    end
    for i = 1, PEERS + 1 do assert.is_false(readable[i]) end
    return seen, listed, calls
  end

  it("reads from all in their order, and leaves what is no connection to others", function()
    local seen, listed = read(10)
    assert.equal(PEERS + 1, #seen)
    for i = 1, PEERS do
      assert.equal(listed[i], seen[i][1])
      assert.same({ 1, ("x"):rep(10) }, { seen[i][2], seen[i][3] })
    end
    assert.equal(listed[PEERS + 1], seen[PEERS + 1][1])
    assert.same({ OTHER, false }, { seen[PEERS + 1][2], seen[PEERS + 1][3] })
  end)

  it("has what is large taken before it reads more", function()
    local seen, _, calls = read(40000)
    assert.is_true(calls >= PEERS / 2, calls .. " calls")
    local whole = 0
    for _, item in ipairs(seen) do
      if item[2] == 1 then
        whole = whole + 1
        assert.equal(40000, #item[3])
      end
    end
    assert.is_true(whole > 0)
  end)

  it("tells why nothing more comes", function()
    local handler, log = server.recorder()
    local s = server.start({ protocols = { a = handler } })
    local c = client.open(s, "a")
    s:settle()
    c:close()
    local owners, opcodes, payloads = {}, {}, {}
    local count
    for _ = 1, 1000 do
      count = inside.read(s.context, { inside.token(s.context, log.ws[1]) }, 1, 1, owners, opcodes, payloads)
      if count > 0 then break end
    end
    assert.equal(1, count)
    assert.same({ OTHER, "closed" }, { opcodes[1], payloads[1] })
  end)

  -- Newer versions of LuaJIT print what a finalizer raises, and go on.
  local function do_finalizers_raise()
    if not jit then return true end
    local program = [[getmetatable(newproxy(true)).__gc = function() error("x", 0) end print(pcall(collectgarbage))]]
    local text = child.run(child.quote(child.this_lua()) .. " -e " .. child.quote(program))
    return text:find("^false") ~= nil
  end

  -- Here a finalizer may raise out of any allocation, as all allocations may where memory ends.
  if server.is_native and _VERSION < "Lua 5.4" and do_finalizers_raise() then
    it("costs by an error in its midst nobody a message but whom it falls upon, and that one ends at once", function()
      local text, code = child.run(child.quote(child.this_lua()) .. " spec/support/raising_finalizer.lua")
      assert.equal("raised true, received 19, errors 1, ends reset", (text:gsub("%s+$", "")))
      assert.equal(0, code)
    end)
  end
end)
