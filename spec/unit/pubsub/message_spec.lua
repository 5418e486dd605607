--- How messages of topics are written for a back plane.
-- @module spec.unit.pubsub.message_spec
local message = require("websockets.pubsub.message")

describe("websockets.pubsub.message", function()
  it("reads what it has written, at any place", function()
    for _, case in ipairs({
      { 1, "hello", "" }, { 2, "\0\255", "" }, { 1, "", "" }, { 2, "x:y", "k:1" }, { 1, "", "k" },
    }) do
      local bytes = message.head(case[1], case[3]) .. case[2]
      assert.same(case, { message.read("before" .. bytes, 7) })
    end
    assert.equal("A", message.head(1))
  end)

  it("reads nothing that is no message", function()
    for _, bytes in ipairs({ "", "x", "@", "C", "a", "a5", "a5:abc", "a:", "b999999999:x", "a-1:x" }) do
      assert.is_nil(message.read(bytes, 1), bytes)
    end
  end)
end)
