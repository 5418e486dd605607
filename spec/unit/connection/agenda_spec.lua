--- What a turn still has to do, and calls that cannot stop it.
-- @module spec.unit.connection.agenda_spec

local stderr = require "spec.support.stderr"

local new_agenda = require("websockets.connection.agenda").new

describe("websockets.connection.agenda", function()
  local agenda, logged, settings

  before_each(function()
    logged, settings = {}, {}
    settings.log = function(level, message) logged[#logged + 1] = level .. ": " .. message end
    agenda = new_agenda(settings)
  end)

  it("begins with nothing to do", function()
    for _, list in ipairs({ "retired", "touched", "waiting", "blocked" }) do
      assert.same({}, agenda[list])
      assert.equal(0, agenda[list .. "_count"])
    end
    assert.is_false(agenda.failure)
  end)

  it("writes to the log where there is one, and survives what it raises", function()
    agenda:log("info", "hello")
    assert.same({ "info: hello" }, logged)
    settings.log = function() error("log") end
    agenda:log("info", "hello")
    settings.log = nil
    agenda:log("info", "hello")
  end)

  it("writes one line, whatever names are in it; an error that nobody hears as it is", function()
    agenda:log("warning", "the topic a\nerror: forged\27[2J")
    agenda:log_error("raised\nstack traceback:")
    assert.same({ "warning: the topic a\\nerror: forged\\027[2J", "error: raised\nstack traceback:" }, logged)
  end)

  it("writes an error to stderr where there is no log, with its whole text", function()
    settings.log = nil
    assert.same({ "websockets: raised", "traceback", "websockets: 7", "websockets: wrong" }, stderr.of(function()
      agenda:log_error("raised\ntraceback")
      agenda:log_error(7)
      agenda:log_error(setmetatable({}, { __tostring = function() error("wrong", 0) end }))
      agenda:log("warning", "is not written")
    end))
    -- What cannot be written is not raised.
    local real = io.stderr
    -- luacheck: push ignore 122
    io.stderr = nil
    agenda:log_error("raised")
    io.stderr = real
    -- luacheck: pop
  end)

  it("notifies Neovim of it, where it may be called", function()
    settings.log = nil
    local noted, scheduled = {}, {}
    rawset(_G, "vim", {
      schedule = function(fn) scheduled[#scheduled + 1] = fn end, log = { levels = { ERROR = 4 } },
      notify = function(text, level) noted[#noted + 1] = { text, level } end,
    })
    local lines = stderr.of(function() agenda:log_error("raised") end)
    rawset(_G, "vim", nil)
    assert.same({ {}, {}, 1 }, { lines, noted, #scheduled })
    rawset(_G, "vim", { notify = function() end })
    assert.same({ "websockets: raised" }, stderr.of(function() agenda:log_error("raised") end))
    rawset(_G, "vim", nil)
  end)

  it("passes a function's arguments and results on, nil among them", function()
    local function fn(...) return select("#", ...), ... end
    local function pack(...) return { n = select("#", ...), ... } end
    assert.same({ n = 6, true, 4, 1, nil, 3 }, pack(agenda:call(nil, fn, 1, nil, 3, nil)))
    assert.is_false(agenda.failure)
  end)

  it("keeps the first error as it is and logs those after it", function()
    local first = { "a table" }
    assert.same({ false }, { agenda:call(nil, function() error(first) end) })
    assert.same({ false }, { agenda:call(nil, function() error("second", 0) end) })
    assert.equal(first, agenda.failure[1])
    assert.same({ "error: second" }, logged)
  end)

  it("keeps an error that is nil", function()
    agenda:call(nil, function() error() end)
    assert.truthy(agenda.failure)
    -- Lua 5.5 puts words in its place.
    assert.equal(_VERSION == "Lua 5.5" and "<no error object>" or nil, agenda.failure[1])
  end)

  it("tells on_error of each error, with the connection, and keeps none", function()
    local heard = {}
    settings.on_error = function(err, ws) heard[#heard + 1] = { err, ws } end
    local ws = {}
    agenda:call(ws, function() error("one", 0) end)
    agenda:fail("two")
    assert.same({ { "one", ws }, { "two" } }, heard)
    assert.equal(ws, heard[1][2])
    assert.is_false(agenda.failure)
  end)

  it("keeps what on_error raises itself", function()
    settings.on_error = function(err) error("heard " .. err, 0) end
    agenda:fail("one")
    assert.equal("heard one", agenda.failure[1])
  end)

  it("has a connection read again once, however often it is asked for; what is added meanwhile waits", function()
    local a, b = {}, {}
    agenda:again(a)
    agenda:again(b)
    agenda:again(a)
    assert.equal(2, agenda.waiting_count)
    assert.equal(a, agenda:next_waiting(2))
    assert.equal(a, agenda.current)
    agenda:again(a)
    assert.equal(b, agenda:next_waiting(2))
    assert.is_nil(agenda:next_waiting(2))
    assert.equal(1, agenda.waiting_count)
    assert.equal(a, agenda:next_waiting(1))
    assert.is_nil(agenda:next_waiting(1))
    assert.equal(0, agenda.waiting_count)
  end)

  it("keeps many that wait in their order", function()
    local list = {}
    for i = 1, 5 do
      list[i] = {}
      agenda:again(list[i])
    end
    assert.equal(list[1], agenda:next_waiting(1))
    assert.is_nil(agenda:next_waiting(1))
    assert.equal(4, agenda.waiting_count)
    for i = 2, 5 do assert.equal(list[i], agenda:next_waiting(4)) end
    assert.is_nil(agenda:next_waiting(4))
    assert.equal(0, agenda.waiting_count)
  end)

  it("keeps the order of touched and retired connections", function()
    local a, b = {}, {}
    for _, ws in ipairs({ a, b }) do
      agenda:touch(ws)
      agenda:retire(ws)
    end
    assert.same({ 2, 2 }, { agenda.touched_count, agenda.retired_count })
    assert.equal(b, agenda.touched[2])
    assert.equal(a, agenda.retired[1])
  end)

  it("keeps each blocked connection in one place, whichever leaves", function()
    for out = 1, 4 do
      agenda = new_agenda(settings)
      local all = {}
      for i = 1, 4 do
        all[i] = { blocked = false }
        agenda:block(all[i], true)
        agenda:block(all[i], true)
      end
      assert.equal(4, agenda.blocked_count)
      agenda:block(all[out], false)
      agenda:block(all[out], false)
      assert.same({ 3, 3 }, { agenda.blocked_count, #agenda.blocked })
      for i = 1, 4 do
        if i == out then
          assert.is_false(all[i].blocked)
        else
          assert.equal(all[i], agenda.blocked[all[i].blocked])
        end
      end
    end
  end)
end)
