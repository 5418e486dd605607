--- What `lifecycle` decides beside the state: which way messages take, pausing, membership of a group.
-- @module spec.unit.connection.fast_path_spec
local fakes = require("spec.support.fakes")
local group = require("websockets.connection.group")
local lifecycle = require("websockets.connection.lifecycle")

local TEXT, BINARY = 1, 2

describe("the fast path", function()
  it("is that of an open connection with nothing special; the wire is told of each change, once", function()
    for field, value in pairs({ paused = true, held = {}, fragment = {} }) do
      local ws, wire = fakes.connection(fakes.context(), "open")
      assert.equal(wire, ws.fast)
      assert.same({ "direct true" }, wire.calls)
      lifecycle.refresh(ws)
      ws[field] = value
      lifecycle.refresh(ws)
      lifecycle.refresh(ws)
      assert.is_false(ws.fast, field)
      ws[field] = false
      lifecycle.refresh(ws)
      assert.equal(wire, ws.fast)
      assert.same({ "direct true", "direct false", "direct true" }, wire.calls)
    end
  end)

  it("is not taken with idle_timeout, for each message counts there", function()
    local ws, wire = fakes.connection(fakes.context({ idle_timeout = 60 }), "open")
    assert.is_false(ws.fast)
    assert.same({}, wire.calls)
  end)

  it("is taken in no state but open", function()
    for _, state in ipairs({ "dialling", "http", "closing", "draining", "lingering", "closed" }) do
      local ws, wire = fakes.connection(fakes.context(), state)
      lifecycle.refresh(ws)
      assert.same({ false, false }, { ws.fast, wire.is_direct })
    end
  end)
end)

describe("pausing", function()
  local context, announced

  before_each(function()
    announced = {}
    context = fakes.context({
      on_add_fd = function(fd) announced[#announced + 1] = { "add", fd } end,
      on_del_fd = function(fd) announced[#announced + 1] = { "del", fd } end,
    })
  end)

  it("stops the poller and the fast path; going on reads at once what is here already", function()
    local ws, wire = fakes.connection(context)
    lifecycle.pause(ws, true)
    assert.same({ true, false }, { ws.paused, ws.fast })
    assert.same({ false, false }, context.poller.watched[ws])
    assert.equal(0, context.agenda.waiting_count)
    lifecycle.pause(ws, false)
    assert.same({ false, wire }, { ws.paused, ws.fast })
    assert.same({ true, false }, context.poller.watched[ws])
    assert.equal(ws, fakes.take_waiting(context)[1])
  end)

  it("takes the descriptor away from a loop that watches READ only, and gives it back", function()
    local ws = fakes.connection(context)
    lifecycle.pause(ws, true)
    lifecycle.pause(ws, true)
    lifecycle.pause(ws, false)
    lifecycle.pause(ws, false)
    assert.same({ { "add", ws.fd }, { "del", ws.fd }, { "add", ws.fd } }, announced)
  end)

  it("tells a loop that knows modes of READ instead", function()
    local modes = {}
    for name, mark in pairs({ on_set_mode_fd = "set", on_clear_mode_fd = "clear" }) do
      context.settings[name] = function(fd, mask) modes[#modes + 1] = { mark, fd, mask } end
    end
    local ws = fakes.connection(context)
    lifecycle.pause(ws, true)
    lifecycle.pause(ws, false)
    assert.same({ { "clear", ws.fd, 1 }, { "set", ws.fd, 1 } }, modes)
    assert.same({ { "add", ws.fd } }, announced)
  end)

  it("ends where nothing more is said, so that the peer's close frame is read", function()
    for _, finish in ipairs({
      function(ws) lifecycle.close(ws, 1000) end, function(ws) lifecycle.fail(ws, 1002, "", "protocol") end,
    }) do
      local ws = fakes.connection(context)
      lifecycle.pause(ws, true)
      finish(ws)
      assert.is_false(ws.paused)
      assert.same({ true, false }, context.poller.watched[ws])
      assert.equal(1, #fakes.take_waiting(context))
    end
  end)

  it("does nothing in a closed connection", function()
    local ws = fakes.connection(context, "closed")
    lifecycle.pause(ws, true)
    assert.is_false(ws.paused)
    assert.equal(0, context.agenda.waiting_count)
  end)

  it("has a closed connection watched by nothing, blocked no more, and its phase released", function()
    local ws, _, phase = fakes.connection(context, "http")
    context.agenda:block(ws, true)
    lifecycle.abort(ws, "closed")
    assert.same({ false, false }, context.poller.watched[ws])
    assert.equal(0, context.agenda.blocked_count)
    assert.same({ { "release" } }, phase.calls)
    -- The phase is over with the opening handshake.
    ws, _, phase = fakes.connection(context)
    lifecycle.abort(ws, "closed")
    assert.same({}, phase.calls)
  end)
end)

describe("a group", function()
  local context, members

  -- Checks that list, places and wires fit together; returns the members.
  local function members_of(list)
    local found = {}
    assert.equal(list.count, #list.members)
    for i = 1, list.count do
      local ws = list.members[i]
      assert.same({ list, i, ws.wire }, { ws.list, ws.slot, list.wires[i] })
      found[i] = ws
    end
    return found
  end

  before_each(function()
    context = fakes.context()
    members = group.new(context, "name")
  end)

  it("keeps each member in one place, whichever leaves", function()
    for out = 1, 3 do
      members = group.new(context, "name")
      local all = {}
      for i = 1, 3 do
        all[i] = fakes.connection(context)
        lifecycle.join(all[i], members)
      end
      assert.same(all, members_of(members[TEXT]))
      lifecycle.close(all[out], 1000)
      assert.is_false(all[out].slot)
      assert.equal(members, all[out].list.group)
      assert.equal(2, #members_of(members[TEXT]))
      for i = 1, 3 do lifecycle.abort(all[i], "closed") end
      assert.equal(0, members[TEXT].count)
      assert.same({}, members[TEXT].wires)
    end
  end)

  it("moves a member where its way of being served changes", function()
    local ws = fakes.connection(context)
    lifecycle.join(ws, members)
    for _, case in ipairs({
      { "broadcast_mode", BINARY, members[BINARY] }, { "broadcast_mode", TEXT, members[TEXT] },
      { "broadcast_mode", function() end, members.single }, { "broadcast_mode", BINARY, members[BINARY] },
      { "fragment", {}, members.single }, { "fragment", false, members[BINARY] },
    }) do
      ws[case[1]] = case[2]
      lifecycle.refresh(ws)
      for _, list in ipairs({ members[TEXT], members[BINARY], members.single }) do
        assert.same(list == case[3] and { ws } or {}, members_of(list))
      end
    end
  end)

  it("has lists of their own for wires of another kind, and counts use where idle_timeout asks for it", function()
    local ws, wire = fakes.connection(context)
    context.wire_class.is_own = function(one) return one ~= wire end
    lifecycle.join(ws, members)
    assert.same({ ws }, members_of(members.streams[TEXT]))
    ws.broadcast_mode = BINARY
    lifecycle.refresh(ws)
    assert.same({}, members_of(members.streams[TEXT]))
    assert.same({ ws }, members_of(members.streams[BINARY]))
    ws.fragment = {}
    lifecycle.refresh(ws)
    assert.same({ ws }, members_of(members.single))
    assert.is_false(members.counts_use)
    local idle = fakes.connection(fakes.context({ idle_timeout = 60 }))
    lifecycle.join(idle, members)
    assert.is_true(members.counts_use)
  end)

  it("has no member that is not open any more", function()
    for _, leave in ipairs({
      function(ws) lifecycle.close(ws, 1000) end, function(ws) lifecycle.fail(ws, 1002, "", "protocol") end,
      function(ws) lifecycle.abort(ws, "reset") end,
    }) do
      local ws = fakes.connection(context)
      lifecycle.join(ws, members)
      leave(ws)
      lifecycle.refresh(ws)
      assert.equal(0, members[TEXT].count)
    end
  end)
end)
