--- The core of the Autobahn cases, both roles, each judged by the committed list of what is expected of it.
-- @module spec.interop.conformance_spec

-- What is asked here is the protocol, not the interpreter: the newest Lua and LuaJIT stand for all.
if _VERSION ~= "Lua 5.4" and not rawget(_G, "jit") then return end

local child = require("spec.support.child")
local engines = require("websockets.engine.loader")
local expected = require("conformance.expected")
local report = require("conformance.report")
local needs = require("spec.support.needs")
local suite = require("conformance.suite")
local tls = require("spec.support.tls")
local websockets = require("websockets")

local PARTS = { "1", "2", "3", "4", "5", "6", "7", "10" }
local LIMIT_SECONDS, MOST_AGAIN = 170, 5

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
    assert.same({
      "1.1.2: NON-STRICT, close OK; expected OK, close OK",
      "1.1.10: OK, close UNCLEAN; expected OK, close OK",
      "7.1.6: OK, close OK; expected INFORMATIONAL, close INFORMATIONAL",
      "part 1: 3 cases in the report, 16 expected",
      "part 7: 2 cases in the report, 37 expected",
      "part 12.3: 0 cases in the report, 18 expected",
      "part 8: 0 cases in the report, no such part expected",
    }, report.judge(report.read(INDEX), { "1", "7", "12.3", "8" }))
  end)

  it("sums up, with the names of what is not OK", function()
    local cases = report.read(INDEX)
    assert.equal("2 OK, 1 NON-STRICT (1.1.2), 1 close UNCLEAN (1.1.10), 1 INFORMATIONAL (7.13.1)",
      report.summary(cases))
    assert.equal("1 OK, 1 INFORMATIONAL (7.13.1)", report.summary(report.of_parts(cases, { "7", "13" })))
    assert.equal("none", report.summary({}))
  end)

  it("finds nothing in no report", function()
    assert.same({ "part 10: 0 cases in the report, 1 expected" }, report.judge(report.read(""), { "10" }))
  end)
end)

describe("what is expected", function()
  it("is 517 cases, the groups of the long parts among them", function()
    local parts, groups = 0, {}
    for part, count in pairs(expected.counts) do
      local long = part:match("^(%d+)%.")
      if long then groups[long] = (groups[long] or 0) + count else parts = parts + count end
    end
    assert.equal(517, parts)
    assert.same({ ["12"] = expected.counts["12"], ["13"] = expected.counts["13"] }, groups)
  end)

  it("is plain OK, or else has its reason", function()
    for case, wanted in pairs(expected.cases) do
      assert.is_string(wanted.why, case)
    end
  end)

  it("is three cases INFORMATIONAL, and the suite's twelve faulty ones by their names", function()
    local informational, faulty = {}, {}
    for case, wanted in pairs(expected.cases) do
      local list = wanted.plain and faulty or informational
      list[#list + 1] = case .. " " .. wanted.behavior
    end
    table.sort(informational)
    table.sort(faulty)
    assert.same({ "7.1.6 INFORMATIONAL", "7.13.1 INFORMATIONAL", "7.13.2 INFORMATIONAL" }, informational)
    assert.same({
      "13.2.1 OK", "13.2.2 OK", "13.2.3 OK", "13.5.1 OK", "13.5.2 OK", "13.5.3 OK",
      "13.6.1 OK", "13.6.2 OK", "13.6.3 OK", "13.7.1 OK", "13.7.2 OK", "13.7.3 OK",
    }, faulty)
  end)
end)

local function why_not(is_compressed)
  local engine = engines.choose()
  if is_compressed and not (engine.can_compress and engine.can_compress()) then
    return "needs lua-zlib or the accelerator"
  end
  return needs.reason("the Python package kosoku")
end

local function run(role, select, threshold, is_tls)
  return suite.run({
    role = role, lua = child.this_lua(), engine = websockets.engine, select = select, threshold = threshold,
    tls = is_tls, seconds = LIMIT_SECONDS,
  })
end

-- What is not as expected. The suite gives each side a second to close: on a machine with much else to do a few cases
-- may miss that, and they are run once more.
local function judge(role, select, parts, is_tls)
  local index, output = run(role, select, nil, is_tls)
  local cases, again = report.read(index), {}
  local problems = report.judge(cases, parts)
  for i, problem in ipairs(problems) do again[i] = problem:match("^(%d[%d.]*): ") end
  if problems[1] and #again == #problems and #again <= MOST_AGAIN then
    local more
    index, more = run(role, again, nil, is_tls)
    for name, verdict in pairs(report.read(index)) do cases[name] = verdict end
    problems, output = report.judge(cases, parts), output .. "\nonce more:\n" .. more
  end
  return problems, table.concat(problems, "\n") .. "\n" .. output
end

describe("the Autobahn cases 1 to 7 and 10", function()
  for _, role in ipairs({ "server", "client" }) do
    it("are OK, and so are their closes, with us as " .. role, function()
      local missing = why_not(false)
      if missing then pending(missing) end
      local problems, text = judge(role, { "1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*" }, PARTS)
      assert(#problems == 0, text)
    end)
  end
end)

describe("the Autobahn cases 1, 2, 5 and 7 over TLS", function()
  for _, role in ipairs({ "server", "client" }) do
    it("are OK, and so are their closes, with us as " .. role, function()
      local missing = why_not(false) or tls.lack("node")
      if missing then pending(missing) end
      local problems, text = judge(role, { "1.*", "2.*", "5.*", "7.*" }, { "1", "2", "5", "7" }, true)
      assert(#problems == 0, text)
    end)
  end
end)

describe("the suite's twelve faulty cases", function()
  local names = {}
  for case, wanted in pairs(expected.cases) do
    if wanted.plain then names[#names + 1] = case end
  end
  table.sort(names)

  it("are ERROR for a server that sends small texts plain, and OK for the same server when it does not", function()
    local missing = why_not(true)
    if missing then pending(missing) end
    for _, way in ipairs({ { threshold = 1024, verdict = "plain" }, { threshold = 0 } }) do
      local index, output = run("server", names, way.threshold)
      local cases = report.read(index)
      for _, name in ipairs(names) do
        local wanted = expected.cases[name][way.verdict] or expected.usual
        assert.same({ behavior = wanted.behavior, close = wanted.close }, cases[name], name .. "\n" .. output)
      end
    end
  end)
end)
