--- The core of the Autobahn cases, both roles, each judged by the committed list of what is expected of it.
-- @module spec.conformance_spec

-- What is asked here is the protocol, not the interpreter: the newest Lua and LuaJIT stand for all.
if _VERSION ~= "Lua 5.4" and not rawget(_G, "jit") then return end

local child = require("spec.support.child")
local expected = require("conformance.expected")
local report = require("conformance.report")
local suite = require("conformance.suite")
local websockets = require("websockets")

local PARTS = { "1", "2", "3", "4", "5", "6", "7", "10" }
local LIMIT_SECONDS = 55

local INDEX = [[{ "agent": {
  "1.1.1": { "behavior": "OK", "behaviorClose": "OK", "duration": 5, "remoteCloseCode": 1000 },
  "1.1.10": { "behavior": "OK", "behaviorClose": "UNCLEAN", "remoteCloseCode": null },
  "1.1.2": { "behavior": "NON-STRICT", "behaviorClose": "OK" },
  "7.1.6": { "behavior": "OK", "behaviorClose": "OK" },
  "7.13.1": { "behavior": "INFORMATIONAL", "behaviorClose": "INFORMATIONAL" }
} }]]

describe("the reader of the report", function()
  it("takes both verdicts of each case", function()
    local cases = report.read(INDEX)
    assert.same({ behavior = "OK", close = "UNCLEAN" }, cases["1.1.10"])
    assert.same({ behavior = "NON-STRICT", close = "OK" }, cases["1.1.2"])
  end)

  it("tells every case that is not what is expected of it, and every one that is missing", function()
    local sums, problems = report.judge(report.read(INDEX), { "1", "7" })
    assert.same({
      "1.1.2: NON-STRICT, close OK; expected OK, close OK",
      "1.1.10: OK, close UNCLEAN; expected OK, close OK",
      "7.1.6: OK, close OK; expected INFORMATIONAL, close INFORMATIONAL",
      "part 1: 3 cases in the report, 16 expected",
      "part 7: 2 cases in the report, 37 expected",
    }, problems)
    assert.same({ OK = 1, UNCLEAN = 1, ["NON-STRICT"] = 1 }, sums["1"])
  end)

  it("finds nothing in no report", function()
    local _, problems = report.judge(report.read(""), { "10" })
    assert.same({ "part 10: 0 cases in the report, 1 expected" }, problems)
  end)

  it("expects each case that is not plainly OK for a reason", function()
    for case, wanted in pairs(expected.cases) do
      assert.is_string(wanted.why, case)
    end
  end)
end)

describe("the Autobahn cases 1 to 7 and 10", function()
  local is_here = suite.is_here()

  for _, role in ipairs({ "server", "client" }) do
    it("are OK, and so are their closes, with us as " .. role, function()
      if not is_here then pending("kosoku is not installed") end
      local index, output = suite.run({
        role = role, lua = child.this_lua(), engine = websockets.engine, parts = PARTS, seconds = LIMIT_SECONDS,
      })
      local _, problems = report.judge(report.read(index), PARTS)
      assert(#problems == 0, table.concat(problems, "\n") .. "\n" .. output)
    end)
  end
end)
