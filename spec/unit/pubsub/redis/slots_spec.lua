--- The slots of a Redis cluster.
-- @module spec.unit.pubsub.redis.slots_spec
local message = require("websockets.pubsub.message")
local slots = require("websockets.pubsub.redis.slots")

local ASKED = { host = "redis.example", is_secure = true, database = 3, user = "u", password = "p" }

describe("websockets.pubsub.redis.slots", function()
  it("knows the slot of a name, as CLUSTER KEYSLOT of Redis 7.0.15 says", function()
    for name, slot in pairs({
      [""] = 0, ["123456789"] = 12739, foo = 12182, ["{foo}bar"] = 12182, ["bar{foo}{zap}"] = 12182, ["{}foo"] = 9500,
      ["foo{{bar}}zap"] = 4015, ["ws:t:{news}"] = 5161, ["\0\255\1"] = 5086,
    }) do
      assert.equal(slot, slots.of(name), name)
    end
  end)

  it("has the channel and the keys of a topic in one slot, whatever its name", function()
    for _, topic in ipairs({ "", "a", "}", "}a", "{", "a{b}c", "{}", "a}b", "-", "-}", ("x"):rep(500), "\0\r\n" }) do
      for _, prefix in ipairs({ "", "ws:", "{app}:", "a{b}c{" }) do
        local tag = message.tag(topic)
        local slot = slots.of(prefix .. "t:" .. tag)
        assert.equal(slot, slots.of(prefix .. "s:" .. tag))
        assert.equal(slot, slots.of(prefix .. "h:" .. tag))
      end
    end
    local seen = {}
    for _, topic in ipairs({ "", "-", "}", "-}", "-}}", "}-", "-}." }) do
      assert.is_nil(seen[message.tag(topic)])
      seen[message.tag(topic)] = true
    end
  end)

  it("reads which node has which slot, and gives each what the server asked for is spoken to with", function()
    local owners, places = slots.read({
      { 0, 1, { "10.0.0.1", 7000, "id", {} }, { "10.0.0.2", 7001 } }, { 2, 2, { "fe80::1", 6379 } },
      { 3, 3, { "", 7002 } }, { 4, 4, { false, 7003 } }, { 5, 5, { "?", 7004 } },
    }, ASKED)
    assert.same({
      [0] = "10.0.0.1:7000", "10.0.0.1:7000", "[fe80::1]", "redis.example:7002", "redis.example:7003",
    }, owners)
    local place = places["10.0.0.1:7000"]
    assert.same({ "10.0.0.1", 7000, true, 0, "u", "p" },
      { place.host, place.port, place.is_secure, place.database, place.user, place.password })
    assert.equal("fe80::1", places["[fe80::1]"].host)
    assert.is_nil(places["?:7004"])
  end)

  it("says what is wrong with an answer", function()
    for message_text, value in pairs({
      ["another answer came"] = 5, ["ERR no"] = { fault = "ERR no" },
      ["no range of slots"] = { { 0, 16384, { "a", 1 } } },
      ["a slot twice"] = { { 0, 5, { "a", 1 } }, { 5, 5, { "b", 1 } } },
    }) do
      assert.same({ nil, message_text }, { slots.read(value, ASKED) })
    end
    local many = {}
    for i = 0, 1000 do many[i + 1] = { i, i, { "a", i + 1 } } end
    assert.same({ nil, "more than 1000 nodes" }, { slots.read(many, ASKED) })
  end)

  it("tells errors that another node, or the same one later, may not give", function()
    for _, fault in ipairs({ "MOVED 1 a:1", "ASK 1 a:1", "TRYAGAIN x", "CLUSTERDOWN x" }) do
      assert.is_true(slots.is_redirection(fault))
    end
    for _, fault in ipairs({ "", "ERR MOVED", "MOVEDx", "CROSSSLOT x", "NOPERM x" }) do
      assert.is_false(slots.is_redirection(fault))
    end
    assert.equal("a:1", slots.asked_for("ASK 5 a:1", ASKED).authority)
    assert.equal("[::1]:7000", slots.asked_for("ASK 5 ::1:7000", ASKED).authority)
    assert.equal("redis.example:7000", slots.asked_for("ASK 5 :7000", ASKED).authority)
    for _, fault in ipairs({
      "MOVED 5 a:1", "ASK", "ASK 5", "ASK x a:1", "ASK 5 a", "ASK 5 a:", "ASK 5 a:0", "ASK 5 a:99999", "ASK 5 a:123456",
      "ASK 5 a b:1", "ASK 5 u@a:1", "ASK 5 \0:1",
    }) do
      assert.is_nil(slots.asked_for(fault, ASKED))
    end
  end)
end)
