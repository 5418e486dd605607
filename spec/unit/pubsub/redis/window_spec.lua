--- How many questions are under way at a time.
-- @module spec.unit.pubsub.redis.window_spec
local window = require("websockets.pubsub.redis.window")

describe("websockets.pubsub.redis.window", function()
  local asked, is_possible

  local function make(limit)
    asked, is_possible = {}, true
    return window.new(limit, function(question)
      asked[#asked + 1] = question
      return is_possible
    end)
  end

  it("asks as many as are allowed, and the others in their order when answers come", function()
    local one = make(2)
    for i = 1, 5 do one:enter(i) end
    assert.same({ 1, 2 }, asked)
    one:leave()
    assert.same({ 1, 2, 3 }, asked)
    one:leave()
    one:leave()
    assert.same({ 1, 2, 3, 4, 5 }, asked)
    one:leave()
    one:leave()
    assert.equal(0, one.count)
    one:enter(6)
    assert.equal(6, asked[6])
  end)

  it("goes on where a question cannot be asked", function()
    local one = make(1)
    for i = 1, 3 do one:enter(i) end
    is_possible = false
    one:leave()
    assert.same({ 1, 2, 3 }, asked)
    assert.equal(0, one.count)
  end)

  it("forgets all of them", function()
    local one = make(1)
    for i = 1, 3 do one:enter(i) end
    one:reset()
    one:enter(4)
    assert.same({ 1, 4 }, asked)
  end)
end)
