--- URLs of Redis servers.
-- @module spec.unit.pubsub.redis.place_spec
local place = require("websockets.pubsub.redis.place")

local function fields(text)
  local made = assert(place.parse(text))
  return { made.host, made.port, made.is_secure, made.user, made.password, made.database, made.unix }
end

describe("websockets.pubsub.redis.place", function()
  it("reads host, port, user, password and database", function()
    assert.same({ "localhost", 6379, false, nil, nil, 0 }, fields("redis://localhost"))
    assert.same({ "localhost", 6379, false, nil, nil, 0 }, fields("redis://localhost/"))
    assert.same({ "::1", 7000, true, "ws", "p@w", 3 }, fields("rediss://ws:p%40w@[::1]:7000/3"))
    assert.same({ "127.0.0.1", 6379, false, "", "secret", 0 }, fields("redis://:secret@127.0.0.1"))
  end)

  -- RFC 3986 3.1
  it("knows schemes in capitals", function()
    assert.same({ "localhost", 6379, false, nil, nil, 2 }, fields("REDIS://localhost/2"))
    assert.same({ "localhost", 6379, true, nil, nil, 0 }, fields("RedisS://localhost"))
    assert.equal("/run/Redis.sock", place.parse("UNIX:/run/Redis.sock").unix)
  end)

  it("reads paths of sockets", function()
    for _, text in ipairs({ "unix:/run/redis.sock", "unix:///run/redis.sock", "unix:/run/%72edis.sock" }) do
      local made = place.parse(text)
      assert.same({ "/run/redis.sock", 0 }, { made.unix, made.database })
    end
    assert.equal(4, place.parse("unix:/run/redis.sock?db=4").database)
  end)

  it("says what was expected", function()
    local cases = {
      ["http://localhost"] = place.EXPECTED, [""] = place.EXPECTED, ["redis:localhost"] = place.EXPECTED,
      ["redis://"] = "a host name or IP address", ["redis://localhost:99999"] = "a port from 1 to 65535",
      ["redis://localhost/x"] = "a number of a database at its end, or nothing",
      ["redis://localhost/1/2"] = "a number of a database at its end, or nothing",
      ["redis://localhost?db=1"] = "a number of a database at its end, or nothing",
      ["unix:/run/s?db=x"] = "a number of a database at its end, or nothing",
      ["unix:run"] = "a socket path of 1 to 107 bytes that begins with a slash",
      ["unix:/" .. ("x"):rep(107)] = "a socket path of 1 to 107 bytes that begins with a slash",
      ["unix:/%00"] = "a socket path of 1 to 107 bytes that begins with a slash",
      ["redis://a%0Ab:c@localhost"] = "user and password without control characters",
    }
    for text, expected in pairs(cases) do assert.same({ nil, expected }, { place.parse(text) }, text) end
  end)
end)
