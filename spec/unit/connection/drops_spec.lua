--- What was dropped: counts by connection and topic, and when the application is told.
-- @module spec.unit.connection.drops_spec
local drops = require("websockets.connection.drops")
local fakes = require("spec.support.fakes")
local subscriptions = require("websockets.connection.subscriptions")

local function start(handler)
  local context = fakes.context({ on_drop = handler })
  context.subscriptions = subscriptions.new({})
  context.subscriptions.topics.t = { count = 1 }
  return context, context.agenda.drops
end

describe("drops", function()
  it("are counted in all and by topic, as long as it has subscribers", function()
    local context, counted = start()
    local ws = fakes.connection(context)
    counted:note(ws, "t", 2)
    counted:note(ws, "gone", 3)
    counted:note(ws, nil, 4)
    assert.same({ 9, 2, 0 }, { counted.total, context.subscriptions.topics.t.dropped, counted.count })
  end)

  it("are told once a turn, summed up for each connection and topic; nil for what belongs to none", function()
    local told = {}
    local context, counted = start(function(ws, name, count) told[#told + 1] = { ws, name or "none", count } end)
    local one, two = fakes.connection(context), fakes.connection(context)
    for _ = 1, 3 do counted:note(one, "t", 1) end
    counted:note(two, nil, 2)
    counted:note(two, nil, 5)
    assert.same({ {}, 2 }, { told, counted.count })
    -- The end of the turn looks for drops where a connection is touched.
    local agenda = context.agenda
    assert.equal(2, agenda.touched_count)
    assert.is_true(agenda.touched[1] == one and agenda.touched[2] == two)
    counted:tell(context.agenda)
    table.sort(told, function(a, b) return a[3] < b[3] end)
    assert.equal(2, #told)
    assert.is_true(told[1][1] == one and told[2][1] == two)
    assert.same({ "t", 3, "none", 7 }, { told[1][2], told[1][3], told[2][2], told[2][3] })
    counted:tell(context.agenda)
    assert.same({ 2, 0 }, { #told, counted.count })
  end)

  it("of a callback that drops more are told in the next turn, and an error of it stops nothing", function()
    local told, failures, counted = {}, {}, nil
    local context = fakes.context({
      on_drop = function(ws, _, count)
        told[#told + 1] = count
        if #told < 3 then counted:note(ws, nil, 10) end
        error("broken", 0)
      end,
      on_error = function(err) failures[#failures + 1] = err end,
    })
    counted = context.agenda.drops
    counted:note(fakes.connection(context), nil, 1)
    -- A turn asks as often as it goes round.
    for _ = 1, 3 do counted:tell(context.agenda) end
    assert.same({ 1 }, told)
    context.timers:run(context.now)
    assert.same({ 1, 10 }, told)
    context.timers:run(context.now)
    assert.same({ { 1, 10, 10 }, { "broken", "broken", "broken" } }, { told, failures })
    assert.is_false(context.timers:has_plans())
  end)

  it("keep nothing where nobody is to be told", function()
    assert.same({}, drops.new().records)
    local context, counted = start()
    counted:note(fakes.connection(context), nil, 1)
    assert.same({ {}, {} }, { counted.records, counted.by_ws })
  end)
end)
