--- What an error leaves of a history in memory. What it keeps and gives is in spec/interop/history_spec.lua.
-- @module spec.unit.pubsub.memory_spec
local memory = require("websockets.pubsub.memory")
local timers = require("websockets.connection.timers")

local KEEP = { messages = 3, seconds = 5 }

local function start()
  local context = { now = 0, timers = timers.new() }
  local store = memory.new(context, { deliver = function() end })
  return store, context.timers, function(seconds)
    context.now = context.now + seconds
    context.timers:run(context.now)
  end
end

local function publish(store)
  return pcall(store.publish, store, "t", KEEP, 1, "data")
end

describe("a history in memory", function()
  it("forgets its entries, and a day later the topic, also where a timer found no memory", function()
    local store, its_timers, advance = start()
    assert.is_true(publish(store))
    advance(6)
    local topic = store.topics.t
    assert.same({}, topic.entries)
    function its_timers.start() error("not enough memory", 0) end
    assert.is_false(publish(store))
    its_timers.start = nil
    assert.is_true(its_timers:is_running(topic.lane, topic.slot))
    advance(86400)
    advance(86400)
    assert.same({}, store.topics)
  end)

  it("keeps no topic whose first timer found no memory", function()
    local store, its_timers, advance = start()
    function its_timers.start() error("not enough memory", 0) end
    assert.is_false(publish(store))
    assert.same({}, store.topics)
    its_timers.start = nil
    assert.is_true(publish(store))
    advance(6)
    advance(86400)
    assert.same({}, store.topics)
  end)
end)
