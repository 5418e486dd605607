--- The poller of the accelerator: what it asks of the hub, which stands in here as a record of calls.
-- @module spec.unit.poller.native_spec

local native_poller = require "websockets.poller.native"

local HUGE = math.huge

describe("websockets.poller.native", function()
  local calls, owners, poller

  before_each(function()
    calls, owners = {}, {}
    local source = { wait = function() return 0, 0 end }
    for _, name in ipairs({ "watch", "set_timer", "close" }) do
      source[name] = function(_, ...) calls[#calls + 1] = { name, ... } end
    end
    function source.getfd(_, is_side) return is_side and 8 or 7 end
    poller = native_poller.new({ source = source, core = source }, owners)
  end)

  it("watches any descriptor but one that is closed", function()
    assert.is_true(poller:can_watch(100000))
    assert.is_false(poller:can_watch(-1))
    local transport = { getfd = function() return 5 end }
    poller:watch(transport, "owner", true, false)
    poller:watch({ getfd = function() return -1 end }, "other", true, false)
    assert.same({ { "watch", 5, true, false } }, calls)
    assert.same({ [5] = "owner" }, owners)
  end)

  it("keeps one time set for waits that a timer ends, and gives no timeout then", function()
    assert.is_nil(poller:hold(105, 100, 5))
    assert.is_nil(poller:hold(105, 101, 4))
    assert.same({ { "set_timer", 5, false } }, calls)
  end)

  it("sets the time anew when another timer is due first, and takes it back once it has passed", function()
    poller:hold(105, 100, 5)
    assert.is_nil(poller:hold(103, 101, 2))
    assert.is_nil(poller:hold(110, 103, 7))
    assert.same({
      { "set_timer", 5, false }, { "set_timer", 2, false }, { "set_timer", nil, false }, { "set_timer", 7, false },
    }, calls)
  end)

  it("gives the timeout of a wait that ends before the next timer", function()
    assert.equal(0, poller:hold(105, 100, 0))
    assert.equal(1, poller:hold(105, 100, 1))
    assert.is_nil(poller:hold(HUGE, 100, nil))
    assert.same({}, calls)
  end)

  it("leaves the time to the alarm where an outside loop waits", function()
    assert.equal(7, poller:get_fd())
    assert.equal(5, poller:hold(105, 100, 5))
    poller:set_alarm(3)
    assert.equal(8, poller:get_side_fd())
    poller:set_alarm(2)
    assert.same({ { "set_timer", 3, false }, { "set_timer", 2, false }, { "set_timer", 2, true } }, calls)
  end)

  it("closes the hub", function()
    poller:close()
    assert.same({ { "close" } }, calls)
  end)
end)
