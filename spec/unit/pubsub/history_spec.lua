--- Ids of histories, and whether something is missing between two.
-- @module spec.unit.pubsub.history_spec
local history = require("websockets.pubsub.history")

describe("websockets.pubsub.history", function()
  it("knows ids", function()
    for _, text in ipairs({ "0-0", "1700000000000-0", "5-12" }) do assert.is_true(history.is_id(text)) end
    local others = { "", "1", "-", "1-", "-1", "1-2-3", "x-1", "1-x", " 1-1", "1-1\n", ("1"):rep(16) .. "-0" }
    for _, text in ipairs(others) do assert.is_false(history.is_id(text), text) end
  end)

  it("compares them as two numbers", function()
    local sorted = { "", "0-1", "1-9", "1-10", "9-0", "10-0", "1700000000000-0", "1700000000000-1" }
    for i, one in ipairs(sorted) do
      for k, other in ipairs(sorted) do assert.equal(i > k, history.is_after(one, other), one .. " after " .. other) end
    end
  end)

  it("tells whether an entry follows what a subscriber has", function()
    for _, case in ipairs({
      { "5-0", "5-0", true }, { "4-0", "5-0", true }, { "6-0", "5-0", false }, { "", "5-0", false }, { "", "", true },
      { "5-0", "", false }, { "", "all", true }, { "9-0", "all", true },
    }) do
      assert.equal(case[3], history.follows({ prev = case[1] }, case[2]), case[1] .. " " .. case[2])
    end
  end)
end)
