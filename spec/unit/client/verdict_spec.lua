--- Which ends are final, and how long a server asks us to wait.
-- @module spec.unit.client.verdict_spec
local errors = require("websockets.errors")
local verdict = require("websockets.client.verdict")

local NOW = 784111777
local DATE, LATER = "Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:51:37 GMT"

local function is_final(why, code, status)
  return verdict.is_final({ why = why, code = code or 1006 }, status and { status = status, headers = {} })
end

local function asked(status, value, date)
  return verdict.retry_after({ status = status, headers = { ["retry-after"] = value, date = date } }, NOW)
end

describe("websockets.client.verdict", function()
  it("tries again whatever breaks, but for what would end the same way", function()
    local final = { destroyed = true, handshake = true, certificate = true, redirect = true }
    for word in pairs(errors.WORDS) do
      if word ~= "status" then assert.equal(final[word] or false, is_final(word), word) end
    end
  end)

  it("takes an answer from 300 to 499 as final, but for those that pass", function()
    for _, status in ipairs({ 301, 400, 401, 403, 404, 405, 407, 410, 426, 499 }) do
      assert.is_true(is_final("status", nil, status), status)
    end
    for _, status in ipairs({ 200, 408, 421, 425, 429, 500, 502, 503, 504 }) do
      assert.is_false(is_final("status", nil, status), status)
    end
    assert.is_false(is_final("status"))
  end)

  it("takes it as final that a proxy refuses our credentials; not what else a proxy does", function()
    assert.is_true(verdict.is_final({ why = "proxy", code = 1006 }, nil, true))
    assert.is_false(verdict.is_final({ why = "proxy", code = 1006 }, nil, false))
    assert.is_false(verdict.is_final({ why = "closed", code = 1000 }, nil, nil))
  end)

  it("takes the close codes as final by which a server judges us; not those of our own", function()
    for _, code in ipairs({ 1002, 1003, 1007, 1008, 1010, 3000, 3003 }) do
      assert.is_true(is_final("closed", code), code)
      assert.is_false(is_final("protocol", code), code)
    end
    for _, code in ipairs({ 1000, 1001, 1005, 1006, 1009, 1011, 1012, 1013, 4000 }) do
      assert.is_false(is_final("closed", code), code)
    end
  end)

  it("reads Retry-After of 429 and 503 alone, in seconds or as a date", function()
    assert.same({ 120, 0 }, { asked(503, "120"), asked(429, "0") })
    assert.is_nil(asked(500, "120"))
    assert.is_nil(asked(503, nil))
    assert.is_nil(verdict.retry_after(nil, NOW))
    assert.equal(120, asked(503, LATER))
    assert.equal(0, asked(503, DATE))
    assert.equal(0, verdict.retry_after({ status = 503, headers = { ["retry-after"] = DATE } }, NOW + 50))
  end)

  it("takes the date that the server has, where it tells", function()
    assert.equal(120, verdict.retry_after({ status = 503, headers = { ["retry-after"] = LATER, date = DATE } }, 0))
  end)

  it("waits an hour at most, and takes anything else as nothing", function()
    assert.same({ 3600, 3600 }, { asked(503, "3601"), asked(503, ("9"):rep(400)) })
    assert.equal(3600, asked(503, "Sun, 06 Nov 2094 08:49:37 GMT"))
    for _, value in ipairs({ "", "-1", "1.5", "soon", "0x10", " 5", "1e3", ("x"):rep(10000) }) do
      assert.is_nil(asked(503, value), value)
    end
  end)
end)
