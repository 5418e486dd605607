--- Which names are present, and what processes tell each other about them.
-- @module spec.unit.pubsub.presence_spec
local presence = require("websockets.pubsub.presence")
local timers = require("websockets.connection.timers")

local A, B = "process-aaaa", "process-bbbb"

-- Processes that hear each other at once, but for those that are cut off.
local function fleet(...)
  local all = { now = 0, list = {}, log = {} }
  local function tell(from, call)
    for origin, other in pairs(all.list) do
      if origin ~= from and not all.list[from].is_cut and not other.is_cut then call(other) end
    end
  end
  for _, origin in ipairs({ ... }) do
    local context = { now = 0, timers = timers.new() }
    local one = presence.new(context, {
      listen = function() end, hears = function() return true end,
      tell = function(_, topic, bytes)
        all.log[#all.log + 1] = ("%s %s %s"):format(origin, topic, bytes)
        tell(origin, function(other) other:message(topic, origin, bytes, 1) end)
        return not all.list[origin].is_cut
      end,
      tell_all = function(_, bytes) tell(origin, function(other) other:message_to_all(origin, bytes, 1) end) end,
    }, 30)
    all.list[origin] = one
  end
  function all.advance(seconds)
    for _ = 1, seconds do
      all.now = all.now + 1
      for _, one in pairs(all.list) do
        one.context.now = all.now
        one.context.timers:run(all.now)
      end
    end
  end
  return all
end

describe("websockets.pubsub.presence", function()
  it("lists the names of one context, each once", function()
    local one = presence.new({ now = 0, timers = timers.new() })
    local first, second = {}, {}
    one:enter(first, "room", "grace")
    one:enter(second, "room", "ada")
    one:enter({}, "room", "ada")
    one:enter({}, "other", "linus")
    assert.same({ "ada", "grace" }, one:list("room"))
    one:leave(second, "room")
    assert.same({ "ada", "grace" }, one:list("room"))
    one:enter(first, "room", "hopper")
    assert.same({ "ada", "hopper" }, one:list("room"))
    one:leave(first, "room")
    one:leave(first, "room")
    one:leave(first, "nowhere")
    assert.same({ "ada" }, one:list("room"))
    assert.same({}, one:list("nowhere"))
    assert.is_nil(one.named[first])
  end)

  it("tells other processes of changes, once for all of a turn", function()
    local all = fleet(A, B)
    local a, b, ws = all.list[A], all.list[B], {}
    a:enter(ws, "room", "ada")
    b:enter({}, "room", "grace")
    all.advance(1)
    for _, one in pairs(all.list) do assert.same({ "ada", "grace" }, one:list("room")) end
    all.log = {}
    a:enter({}, "room", "x:1")
    a:enter({}, "room", "x:1")
    a:leave(ws, "room")
    all.advance(1)
    assert.equal(1, #all.log)
    assert.same({ "grace", "x:1" }, b:list("room"))
  end)

  it("asks for the names when it begins, and again when the channel was lost", function()
    local all = fleet(A, B)
    local a, b, ws = all.list[A], all.list[B], {}
    a:enter(ws, "room", "ada")
    all.advance(1)
    b:track("room")
    assert.same({ "ada" }, b:list("room"))
    b.is_cut = true
    a:leave(ws, "room")
    a:enter({}, "room", "linus")
    all.advance(1)
    assert.same({ "ada" }, b:list("room"))
    b.is_cut = false
    b:subscribed("room")
    assert.same({ "linus" }, b:list("room"))
    -- Of a topic that is not followed nothing is asked, and nothing kept.
    all.log = {}
    b:subscribed("other")
    a:enter({}, "other", "ada")
    all.advance(1)
    assert.same({}, b:list("other"))
    b:forget("room")
    assert.same({}, b:list("room"))
  end)

  it("lists what others told before the channel was lost, until they tell it again", function()
    local all = fleet(A, B)
    local a, b, ws = all.list[A], all.list[B], {}
    a:enter(ws, "room", "ada")
    all.advance(1)
    b:track("room")
    -- The answer takes a while.
    a.is_cut = true
    b:subscribed("room")
    assert.same({ "ada" }, b:list("room"))
    a.is_cut = false
    a:enter(ws, "room", "linus")
    all.advance(1)
    assert.same({ "linus" }, b:list("room"))
    -- None comes: the name has gone meanwhile.
    b.is_cut = true
    a:leave(ws, "room")
    all.advance(1)
    b.is_cut = false
    b:subscribed("room")
    assert.same({ "linus" }, b:list("room"))
    all.advance(10)
    assert.same({ "linus" }, b:list("room"))
    all.advance(1)
    assert.same({}, b:list("room"))
  end)

  it("asks again where the carrier has not taken the question", function()
    local all = fleet(A, B)
    local a, b = all.list[A], all.list[B]
    b:enter({}, "room", "grace")
    a.is_cut = true
    a:enter({}, "room", "ada")
    a.is_cut = false
    all.advance(11)
    for _, one in pairs(all.list) do assert.same({ "ada", "grace" }, one:list("room")) end
    a.is_cut = true
    a:subscribed("room")
    -- That the names are told does not stand for the question.
    a.is_cut = false
    a:message("room", B, "R", 1)
    all.advance(20)
    for _, one in pairs(all.list) do assert.same({ "ada", "grace" }, one:list("room")) end
    assert.same({ 0, 0 }, { a.untold_count, b.untold_count })
    -- A topic that is followed no more is not asked for.
    a.is_cut = true
    a:subscribed("room")
    a:forget("room")
    a.is_cut = false
    all.advance(20)
    assert.same({ {}, 0 }, { a.others.processes[B].topics, a.untold_count })
  end)

  it("forgets a process that gives no sign of life, and at once one that says goodbye", function()
    local all = fleet(A, B)
    local a, b = all.list[A], all.list[B]
    a:enter({}, "room", "ada")
    b:track("room")
    all.advance(100)
    assert.same({ "ada" }, b:list("room"))
    a.is_cut = true
    all.advance(29)
    assert.same({ "ada" }, b:list("room"))
    all.advance(20)
    assert.same({}, b:list("room"))
    a.is_cut = false
    b:subscribed("room")
    assert.same({ "ada" }, b:list("room"))
    a:close()
    assert.same({}, b:list("room"))
  end)

  it("tells later what could not be told while the carrier was away", function()
    local all = fleet(A, B)
    local a, b, first, second = all.list[A], all.list[B], {}, {}
    a:enter(first, "room", "ada")
    a:enter(second, "hall", "ada")
    b:track("room")
    b:track("hall")
    a.is_cut = true
    a:leave(first, "room")
    a:enter({}, "hall", "linus")
    -- As the last subscriber has left: this process asks for nothing there when the carrier is back.
    a:forget("room")
    all.advance(1)
    assert.same({ "ada" }, b:list("room"))
    a.is_cut, all.log = false, {}
    all.advance(10)
    assert.same({}, b:list("room"))
    assert.same({ "ada", "linus" }, b:list("hall"))
    assert.equal(2, #all.log)
    all.advance(20)
    assert.equal(2, #all.log)
  end)

  -- A process that asks for topics without having subscribers, with what it follows, and how much that was at most.
  local function asker()
    local followed, count, most, context = {}, 0, 0, { now = 0, timers = timers.new() }
    local nothing = function() end
    local one = presence.new(context, {
      listen = nothing, hears = function() return true end, tell = function() return true end, tell_all = nothing,
      retain = function(_, topic)
        assert.is_nil(followed[topic])
        followed[topic], count = true, count + 1
        most = math.max(most, count)
      end,
      release = function(self, topic)
        assert.is_true(followed[topic])
        followed[topic], count = nil, count - 1
        self.presence:forget(topic)
      end,
    }, 30)
    one.plane.presence = one
    local function advance(seconds)
      context.now = context.now + seconds
      context.timers:run(context.now)
    end
    return one, followed, advance, function() return count, most end
  end

  it("follows a topic without subscribers here for a minute at least, and as long as it is asked for", function()
    local one, followed, advance, counts = asker()
    one:watch("asked again")
    one:watch("asked once")
    for _ = 1, 10 do
      advance(59)
      one:watch("asked again")
    end
    assert.same({ ["asked again"] = true }, followed)
    advance(1)
    one:watch("new")
    advance(59.9)
    assert.is_true(followed.new)
    advance(120)
    advance(120)
    assert.same({}, followed)
    assert.same({}, one.tracked)
    assert.is_false(one.is_watching)
    one:watch("new")
    assert.equal(1, (counts()))
  end)

  it("follows 10,000 topics without subscribers here at most: those asked for last", function()
    local one, followed, advance, counts = asker()
    for i = 1, 50000 do
      one:watch("topic " .. i)
      if i % 1000 == 0 then one:watch("asked again") end
    end
    local count, most = counts()
    assert.is_true(most <= 10000 and count >= 5000, count .. " " .. most)
    for i = 45001, 50000 do assert.is_true(followed["topic " .. i]) end
    assert.is_true(followed["asked again"])
    for _ = 1, 3 do advance(60) end
    assert.equal(0, (counts()))
  end)

  it("is whole after an error while a connection enters, or while others are told", function()
    local all = fleet(A, B)
    local a, b, ws = all.list[A], all.list[B], {}
    b:track("room")
    local own = a.own
    a.own = setmetatable({}, { __newindex = function() error("not enough memory", 0) end })
    assert.is_false(pcall(a.enter, a, ws, "room", "ada"))
    a.own = own
    a:leave(ws, "room")
    assert.same({}, a:list("room"))
    assert.is_nil(a.named[ws])
    a:enter(ws, "room", "ada")
    local plane = a.plane
    a.plane = { tell = function() error("not enough memory", 0) end }
    a.changes.other = { x = true }
    assert.is_false(pcall(all.advance, 1))
    a.plane = plane
    all.log = {}
    all.advance(2)
    table.sort(all.log)
    assert.same({ A .. " other P-1:x", A .. " room P+3:ada" }, all.log)
    assert.same({ {}, { "ada" } }, { a.changes, b:list("room") })
    assert.is_false(a.place)
  end)

  it("takes nothing from what is no list of names", function()
    local all = fleet(A, B)
    local b = all.list[B]
    b:track("room")
    for _, bytes in ipairs({ "", "P", "P+", "P+5:abc", "P*3:abc", "Pxyz", "S+99999999999:a", "Z+1:a", "R+:a" }) do
      b:message("room", A, bytes, 1)
    end
    b:message_to_all(A, "", 1)
    b:message_to_all(A, "?", 1)
    assert.same({}, b:list("room"))
    b:message("room", A, "S+1:a+0:+2:b:", 1)
    assert.same({ "", "a", "b:" }, b:list("room"))
  end)
end)
