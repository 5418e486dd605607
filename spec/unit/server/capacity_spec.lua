--- Room for new connections: who goes when it runs out.
-- @module spec.unit.server.capacity_spec
local capacity = require("websockets.server.capacity")
local fakes = require("spec.support.fakes")
local lifecycle = require("websockets.connection.lifecycle")
local tally = require("websockets.connection.tally")

describe("the capacity of a context", function()
  local context, log

  before_each(function()
    log = {}
    context = fakes.context({ log = function(_, text) log[#log + 1] = text end })
    context.capacity, context.tally = capacity.new(), tally.new()
  end)

  local function run_short()
    return capacity.run_short(context, "too many open files")
  end

  -- Connections in a state, each a tenth of a second younger than the one before.
  local function add(count, state)
    local made = {}
    for i = 1, count do
      made[i] = fakes.connection(context, state or "http")
      -- Its pings have another deadline than its handshake.
      if state then lifecycle.deadline(made[i], nil) end
      context.now = context.now + 0.1
    end
    return made
  end

  local function states(list)
    local found = {}
    for i, ws in ipairs(list) do found[i] = ws.state end
    return table.concat(found, " ")
  end

  local function close_retired()
    context.connection_count = context.connection_count - context.agenda.retired_count
    context.agenda.retired_count = 0
  end

  it("is 64 a turn while nothing has run short", function()
    assert.same({ false, 64 }, { capacity.is_scarce(context), capacity.room(context) })
  end)

  it("ends at max_connections: the oldest half-open connection makes room then, an open one never", function()
    context.settings.max_connections = 4
    local silent = add(3)
    assert.same({ false, 1 }, { capacity.is_scarce(context), capacity.room(context) })
    local open = add(1, "open")
    assert.is_true(capacity.is_full(context))
    assert.is_true(capacity.make_room(context))
    assert.equal("closed http http open", states(silent) .. " " .. states(open))
    assert.equal("limit", silent[1].outcome.why)
    assert.is_false(capacity.is_full(context))
    close_retired()
    assert.equal(1, capacity.room(context))
    for _, ws in ipairs(silent) do lifecycle.abort(ws, "timeout") end
    close_retired()
    add(3, "open")
    assert.is_false(capacity.make_room(context))
    -- All of these are told 503.
    assert.same({ true, 64 }, { capacity.is_scarce(context), capacity.room(context) })
  end)

  it("after a shortage those that have waited for a second go, up to the reserve; the log hears of it once", function()
    local silent = add(16)
    context.now = context.now + 1
    run_short()
    assert.equal("http http http", states({ silent[1], silent[2], silent[3] }))
    assert.is_true(run_short())
    assert.equal("closed closed http", states({ silent[1], silent[2], silent[3] }))
    capacity.taken(context)
    assert.is_true(run_short())
    assert.equal(1, #log)
    assert.truthy(log[1]:find("too many open files", 1, true))
  end)

  it("after a shortage one of those that have only come goes, the oldest", function()
    local silent = add(8)
    run_short()
    assert.is_true(run_short())
    assert.equal("closed http http", states({ silent[1], silent[2], silent[3] }))
  end)

  it("makes more room at a time as long as all of it is taken at once", function()
    local silent = add(9)
    context.settings.max_connections = 9
    for _, closed in ipairs({ 1, 2, 4, 1 }) do
      local before = context.agenda.retired_count
      capacity.make_room(context)
      assert.equal(closed, context.agenda.retired_count - before)
      capacity.accepted(context, closed < 4)
      close_retired()
    end
    assert.equal("closed http", states({ silent[8], silent[9] }))
  end)

  it("max_connections and max_half_open: the log hears of a reached limit, once a minute", function()
    context.settings.max_connections, context.settings.max_half_open = 2, 2
    local function reach()
      add(3)
      capacity.taken(context)
      capacity.make_room(context)
      capacity.turned_away(context)
    end
    local expected = {
      "max_half_open (2) is reached: of the connections that have sent no whole request the oldest end",
      "max_connections (2) is reached: new connections take the place of those that wait for a request, or get 503",
    }
    reach()
    assert.same(expected, log)
    context.now = context.now + 55
    reach()
    assert.same(expected, log)
    context.now = context.now + 10
    reach()
    assert.same({ expected[1], expected[2], expected[1], expected[2] }, log)
    assert.equal(3, context.tally.turned_away)
    assert.equal(context.agenda.retired_count, context.tally.given_up)
  end)

  it("a second shortage with nothing accepted between is left to a rest", function()
    add(8)
    run_short()
    assert.is_true(run_short())
    assert.is_false(run_short())
    capacity.taken(context)
    assert.is_true(run_short())
  end)

  it("a shortage among open connections only is left to a rest", function()
    add(8, "open")
    assert.is_true(run_short())
    assert.is_false(run_short())
  end)

  it("is remembered for a minute: no more are accepted than there were descriptors, and the reserve is kept", function()
    local silent = add(8)
    run_short()
    run_short()
    assert.equal(0, capacity.room(context))
    close_retired()
    assert.equal(1, capacity.room(context))
    context.now = context.now + 2
    add(1)
    capacity.taken(context)
    assert.equal("closed closed http", states({ silent[1], silent[2], silent[3] }))
    close_retired()
    assert.equal(1, capacity.room(context))
    context.now = context.now + 60
    assert.same({ false, 64 }, { capacity.is_scarce(context), capacity.room(context) })
  end)
end)
