--- What a turn still has to do, and calls that cannot stop it.
-- @module spec.unit.connection.agenda_spec

local agenda = require "websockets.connection.agenda"

describe("websockets.agenda", function()
  local context, logged, settings

  before_each(function()
    logged, settings = {}, {}
    settings.log = function(level, message) logged[#logged + 1] = level .. ": " .. message end
    context = { settings = settings }
    agenda.init(context)
  end)

  it("begins with nothing to do", function()
    for _, list in ipairs({ "retired", "touched", "again", "blocked" }) do
      assert.same({}, context[list])
      assert.equal(0, context[list .. "_count"])
    end
    assert.same({ false, false }, { context.busy, context.failure })
  end)

  it("says something to the log where there is one, and survives it", function()
    agenda.log(context, "info", "hello")
    assert.same({ "info: hello" }, logged)
    settings.log = function() error("log") end
    agenda.log(context, "info", "hello")
    settings.log = nil
    agenda.log(context, "info", "hello")
  end)

  it("gives a function's arguments and results on, nil among them", function()
    local function fn(...) return select("#", ...), ... end
    local function pack(...) return { n = select("#", ...), ... } end
    assert.same({ n = 6, true, 4, 1, nil, 3 },
      pack(agenda.call(context, nil, fn, 1, nil, 3, nil)))
    assert.is_false(context.failure)
  end)

  it("keeps the first error as it is and logs those after it", function()
    local first = { "a table" }
    assert.same({ false }, { agenda.call(context, nil, function() error(first) end) })
    assert.same({ false }, { agenda.call(context, nil, function() error("second", 0) end) })
    assert.equal(first, context.failure[1])
    assert.same({ "error: second" }, logged)
  end)

  it("keeps an error that is nil", function()
    agenda.call(context, nil, function() error() end)
    assert.truthy(context.failure)
    -- Lua 5.5 puts words in its place.
    assert.equal(_VERSION == "Lua 5.5" and "<no error object>" or nil, context.failure[1])
  end)

  it("tells on_error of each error, with the connection, and keeps none", function()
    local heard = {}
    settings.on_error = function(err, ws) heard[#heard + 1] = { err, ws } end
    local ws = {}
    agenda.call(context, ws, function() error("one", 0) end)
    agenda.fail(context, "two")
    assert.same({ { "one", ws }, { "two" } }, heard)
    assert.equal(ws, heard[1][2])
    assert.is_false(context.failure)
  end)

  it("keeps what on_error raises itself", function()
    settings.on_error = function(err) error("heard " .. err, 0) end
    agenda.fail(context, "one")
    assert.equal("heard one", context.failure[1])
  end)

  it("has a connection read again once, however often it is asked for", function()
    local a, b = {}, {}
    agenda.again(context, a)
    agenda.again(context, b)
    agenda.again(context, a)
    assert.equal(2, context.again_count)
    assert.equal(a, context.again[1])
    assert.equal(b, context.again[2])
  end)

  it("keeps the order of touched and retired connections", function()
    local a, b = {}, {}
    for _, ws in ipairs({ a, b }) do
      agenda.touch(context, ws)
      agenda.retire(context, ws)
    end
    assert.same({ 2, 2 }, { context.touched_count, context.retired_count })
    assert.equal(b, context.touched[2])
    assert.equal(a, context.retired[1])
  end)

  it("keeps each blocked connection in one place, whoever leaves", function()
    for out = 1, 4 do
      agenda.init(context)
      local all = {}
      for i = 1, 4 do
        all[i] = { blocked = false }
        agenda.block(context, all[i], true)
        agenda.block(context, all[i], true)
      end
      assert.equal(4, context.blocked_count)
      agenda.block(context, all[out], false)
      agenda.block(context, all[out], false)
      assert.same({ 3, 3 }, { context.blocked_count, #context.blocked })
      for i = 1, 4 do
        if i == out then
          assert.is_false(all[i].blocked)
        else
          assert.equal(all[i], context.blocked[all[i].blocked])
        end
      end
    end
  end)
end)
