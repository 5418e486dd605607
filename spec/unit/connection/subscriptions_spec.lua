--- The index of topics: who is in which, places, events for the back plane, whatever is done in whatever order.
-- @module spec.unit.connection.subscriptions_spec
local subscriptions = require("websockets.connection.subscriptions")

local function start()
  local events, forgotten = {}, {}
  return subscriptions.new({
    subscribe = function(_, name) events[#events + 1] = "+" .. name end,
    unsubscribe = function(_, name) events[#events + 1] = "-" .. name end,
    left = function(_, _, name) events[#events + 1] = "left " .. name end,
    forget = function(_, ws) forgotten[#forgotten + 1] = ws end,
    repair = function() end,
    close = function() events[#events + 1] = "closed" end,
  }), events, forgotten
end

-- An open connection of a context whose agenda notes what is raised.
local function connect()
  local errors = {}
  local agenda = { call = function(_, _, fn, ...)
    local is_good, err = pcall(fn, ...)
    if not is_good then errors[#errors + 1] = err end
  end }
  -- In a metatable: luassert copies what it is given, with all that is in it.
  return setmetatable({}, {
    __index = { state = "open", wire = {}, fragment = false, context = { agenda = agenda }, errors = errors },
  })
end

-- The subscribers of each topic, and the topics of each connection, by what the index says.
local function assert_whole(index, expected)
  local seen = {}
  for name, topic in pairs(index.topics) do
    assert.is_true(topic.count > 0)
    assert.is_nil(topic[topic.count + 1])
    for place = 1, topic.count do
      local ws = index:owner(topic[place])
      assert.equal(topic[place], ws.wire)
      assert.equal(place, index:place(ws, name))
      seen[ws] = seen[ws] or {}
      seen[ws][name] = true
    end
  end
  assert.same(expected, seen)
  for ws, names in pairs(expected) do
    local listed, count = {}, 0
    for _, name in ipairs(index:names(ws)) do listed[name], count = true, count + 1 end
    assert.same(names, listed)
    assert.equal(count, index:count(ws))
  end
end

describe("the index of topics", function()
  it("knows nothing of a connection that never subscribed", function()
    local index, events, forgotten = start()
    local ws = connect()
    assert.equal(0, index:count(ws))
    assert.is_nil(index:place(ws, "a"))
    assert.same({}, index:names(ws))
    assert.is_false(index:leave(ws, "a"))
    index:leave_all(ws)
    assert.is_true(ws == forgotten[1])
    assert.same({ {}, {}, {} }, { events, index.topics, index.places })
  end)

  it("tells the back plane of each that has left a topic, once that is wanted, of an end, and of its own", function()
    local index, events, forgotten = start()
    local one, two = connect(), connect()
    for _, ws in ipairs({ one, two }) do index:join(ws, "a") end
    index:leave(one, "a")
    index.tells_left = true
    index:join(one, "a")
    index:leave(one, "a")
    index:leave_all(two)
    index:close()
    assert.is_true(two == forgotten[1] and #forgotten == 1)
    assert.same({ "+a", "left a", "left a", "-a", "closed" }, events)
  end)

  it("tells the back plane of the first subscriber of a topic and of the last, and of no other", function()
    local index, events = start()
    local one, two = connect(), connect()
    index:join(one, "a")
    index:join(two, "a")
    index:join(two, "b")
    assert.same({ "+a", "+b" }, events)
    index:leave(one, "a")
    assert.same({ "+a", "+b" }, events)
    index:leave_all(two)
    table.sort(events)
    assert.same({ "+a", "+b", "-a", "-b" }, events)
    assert.same({ {}, {} }, { index.topics, index.places })
  end)

  it("takes any string as a name, also one that could be a number or a field", function()
    local index = start()
    local ws, names = connect(), { "1", "", "count", "n", "\0", "topics" }
    for _, name in ipairs(names) do index:join(ws, name) end
    local listed = index:names(ws)
    table.sort(listed)
    table.sort(names)
    assert.same(names, listed)
    assert.equal(#names, index:count(ws))
  end)

  it("is whole after any order of joining, leaving and ending", function()
    local seed = 7
    local function random(most)
      seed = (seed * 16807) % 2147483647
      return seed % most + 1
    end
    local index, expected, all = start(), {}, {}
    for i = 1, 8 do all[i] = connect() end
    for _ = 1, 3000 do
      local ws, name, what = all[random(#all)], "topic " .. random(6), random(10)
      local mine = expected[ws] or {}
      if what == 10 then
        index:leave_all(ws)
        mine = {}
      elseif mine[name] then
        assert.is_true(index:leave(ws, name))
        mine[name] = nil
      elseif what < 7 then
        index:join(ws, name)
        mine[name] = true
      else
        assert.is_false(index:leave(ws, name))
      end
      expected[ws] = next(mine) and mine or nil
      assert_whole(index, expected)
    end
    for _, ws in ipairs(all) do index:leave_all(ws) end
    assert.same({ {}, {} }, { index.topics, index.places })
  end)

  it("has every topic left although the back plane raises, and tells of that", function()
    for cut = 1, 3 do
      local index, count = start(), 0
      local ws, other = connect(), connect()
      for i = 1, 3 do index:join(ws, "t" .. i) end
      index:join(other, "shared")
      index:join(ws, "shared")
      function index.plane.unsubscribe()
        count = count + 1
        if count == cut then error("cut", 0) end
      end
      index:leave_all(ws)
      assert_whole(index, { [other] = { shared = true } })
      assert.is_nil(index.places[ws.wire])
      assert.same({ 3, { "cut" }, 1, 1 }, { count, ws.errors, index.total, index.topic_count })
    end
  end)

  it("is as before where joining raises, and the topic can be joined later", function()
    local index, events = start()
    local ws, other = connect(), connect()
    index:join(ws, "a")
    local subscribe = index.plane.subscribe
    function index.plane.subscribe() error("no memory", 0) end
    for _, one in ipairs({ ws, other }) do
      assert.same({ false, "no memory" }, { pcall(index.join, index, one, "b") })
    end
    assert_whole(index, { [ws] = { a = true } })
    assert.same({ 1, 1 }, { index.total, index.topic_count })
    index.plane.subscribe = subscribe
    index:join(other, "b")
    assert_whole(index, { [ws] = { a = true }, [other] = { b = true } })
    assert.same({ "+a", "+b" }, events)
  end)

  it("is repaired after an error between any two steps of joining and leaving", function()
    local damages = {
      -- Has a place, and is not counted; the place is that of the one that has left; no place; counted wrongly.
      function(index, ws) index.topics.a[3], index.places[ws.wire].b = ws.wire, 1 end,
      function(index, ws, other) index.topics.a[1], index.places[ws.wire].a = other.wire, nil end,
      function(index, ws) index.places[ws.wire] = nil end,
      function(index, ws) index.places[ws.wire][1], index.total, index.topic_count = 9, 9, 9 end,
      function(index) index.topics.c = { count = 0 } end,
      function(index, ws) ws.state, index.places[ws.wire] = "closed", nil end,
    }
    for number, damage in ipairs(damages) do
      local index = start()
      local ws, other = connect(), connect()
      index:join(ws, "a")
      index:join(other, "a")
      damage(index, ws, other)
      index:repair()
      local expected = { [other] = { a = true } }
      if index:place(ws, "a") then expected[ws] = { a = true } end
      assert_whole(index, expected)
      assert.same({ number, index:place(ws, "a") and 2 or 1, 1 }, { number, index.total, index.topic_count })
      index:leave_all(ws)
      index:leave_all(other)
      assert.same({ {}, {}, 0, 0 }, { index.topics, index.places, index.total, index.topic_count })
    end
  end)

  it("knows after a repair which of its connections are sending a message in fragments", function()
    local index = start()
    local ws, other, gone = connect(), connect(), connect()
    for _, one in ipairs({ ws, other, gone }) do index:join(one, "a") end
    -- An error came before the beginning of a message was noted, before its end was, and amid an end.
    ws.fragment, index.fragmented[other], index.fragmented[gone] = {}, true, true
    gone.fragment, gone.state, index.fragment_count = {}, "closed", 7
    index:repair()
    assert.same({ { [ws] = true }, 1 }, { index.fragmented, index.fragment_count })
    ws.fragment = false
    index:follow_fragment(ws)
    assert.same({ {}, 0 }, { index.fragmented, index.fragment_count })
  end)

  it("knows which of its connections are sending a message in fragments, and whether any counts use", function()
    local index = start()
    local ws, other = connect(), connect()
    ws.fragment = {}
    index:follow_fragment(ws)
    assert.same({}, index.fragmented)
    index:join(ws, "a")
    index:join(other, "a")
    assert.same({ [ws] = true }, index.fragmented)
    ws.fragment = false
    index:follow_fragment(ws)
    assert.same({}, index.fragmented)
    for _, leave in ipairs({ function() index:leave(ws, "a") end, function() index:leave_all(ws) end }) do
      ws.fragment = {}
      index:join(ws, "b")
      index:follow_fragment(ws)
      index:leave(ws, "b")
      leave()
      assert.same({}, index.fragmented)
      index:join(ws, "a")
    end
    assert.is_false(index.counts_use)
    other.idle_slot = 1
    index:leave_all(other)
    index:join(other, "a")
    assert.is_true(index.counts_use)
  end)
end)
