--- The check of the contract finds each kind of row that nothing proves.
-- @module spec.packaging.contract_check_spec

local child = require "spec.support.child"
local contract_check = require "spec.support.contract_check"
local needs = require "spec.support.needs"
local promises = require "spec.support.promises"

local HERE = "spec/packaging/contract_check_spec.lua"

local function row(changes)
  local made = { area = "ws", name = "write", spec = HERE, test = "ws write" }
  for field, value in pairs(changes or {}) do made[field] = value end
  return made
end

local function outcome(status, interpreter, name, file)
  return {
    status = status, interpreter = interpreter or "lua5.4", name = name or "ws write sends", file = file or HERE,
  }
end

local function check(rows, outcomes, changes)
  local run = {
    luas = { ["lua5.1"] = true, ["lua5.4"] = true }, conditions = { native = false },
    is_lacking = function(need) return need == "root" end,
  }
  for field, value in pairs(changes or {}) do run[field] = value end
  return contract_check.check(rows, outcomes, run)
end

local function problem_of(made, outcomes, changes)
  local found = check({ made }, outcomes, changes)
  assert.same({ 1, 0, 0 }, { #found.problems, #found.unprovable, found.proved })
  return found.problems[1]
end

local function assert_proved(made, outcomes)
  assert.same({ problems = {}, unprovable = {}, proved = 1, left_out = 0 }, check({ made }, outcomes))
end

local function assert_unprovable(made, outcomes)
  local found = check({ made }, outcomes)
  assert.same({ {}, 1, 0 }, { found.problems, #found.unprovable, found.proved })
  assert.matches(": not provable here: needs root$", found.unprovable[1])
end

local function skipped(reason, interpreter, name)
  local made = outcome("skipped", interpreter, name)
  made.note = reason
  return made
end

describe("contract check", function()
  it("is content with a test that passed", function()
    assert_proved(row(), { outcome("passed") })
  end)

  it("is content where one Lua passed and another skipped", function()
    assert_proved(row(), { outcome("skipped", "lua5.1"), outcome("passed") })
  end)

  it("reads the test's name as plain text", function()
    assert_proved(row{ test = "a-b (c)" }, { outcome("passed", nil, "x a-b (c) y") })
    assert.matches("no test", problem_of(row{ test = "w.ite" }, { outcome("passed") }))
  end)

  it("finds a spec file that is not there", function()
    local made = row{ spec = "spec/there_is_no_such_spec.lua" }
    assert.matches("no such spec file", problem_of(made, { outcome("passed", nil, nil, made.spec) }))
  end)

  it("finds a row whose test did not run", function()
    assert.matches("no test that ran", problem_of(row(), {}))
    assert.matches("no test that ran", problem_of(row(), { outcome("passed", nil, "ws close") }))
    assert.matches("no test that ran", problem_of(row(), { outcome("passed", nil, nil, "spec/other_spec.lua") }))
  end)

  it("takes a skipped test for no proof", function()
    assert.matches("only skipped", problem_of(row(), { outcome("skipped"), outcome("skipped", "lua5.1") }))
    assert.matches("only skipped", problem_of(row(), { skipped("later") }))
  end)

  it("does not fail a row for what this machine lacks", function()
    assert_unprovable(row(), { skipped("needs root") })
    assert_unprovable(row(), { outcome("skipped", nil, "ws write needs root") })
    assert_proved(row(), { skipped("needs root", "lua5.1"), outcome("passed") })
    assert_unprovable(row(), { outcome("skipped", nil, "ws needs root") })
    assert_unprovable(row{ luas = { "lua5.1", "lua5.4" } }, { skipped("needs root", "lua5.1"), outcome("passed") })
  end)

  it("fails a row that was skipped for what this machine has", function()
    assert.matches("only skipped", problem_of(row(), { skipped("needs node") }))
    assert.matches("no test that ran", problem_of(row(), { outcome("skipped", nil, "ws needs node") }))
    assert.matches("no test that ran", problem_of(row(), { outcome("passed", nil, "ws needs root") }))
    assert.matches("failed under lua5.4", problem_of(row(), { skipped("needs root", "lua5.1"), outcome("failed") }))
    assert.matches("not passed under lua5.1", problem_of(row{ luas = { "lua5.1", "lua5.4" } },
      { skipped("needs node", "lua5.1"), outcome("passed") }))
  end)

  it("knows what a reason may name, and looks whether this machine lacks it", function()
    assert.is_false(needs.is_lacking("nothing that is known"))
    assert.is_true(needs.is_lacking("/proc/self/status"))
    assert.equal(child.run("id -u") ~= "0\n", needs.is_lacking("root"))
  end)

  it("finds a test that failed under any Lua", function()
    assert.matches("failed under lua5.1", problem_of(row(), { outcome("passed"), outcome("failed", "lua5.1") }))
    assert.matches("failed under lua5.4",
      problem_of(row(), { outcome("passed"), outcome("failed", nil, "ws write, the other") }))
  end)

  it("asks for each Lua that a row names", function()
    local made = row{ luas = { "lua5.1", "lua5.4" } }
    assert.matches("not passed under lua5.1", problem_of(made, { outcome("passed") }))
    assert_proved(made, { outcome("passed"), outcome("passed", "lua5.1") })
  end)

  it("leaves out what this run does not ask for, and counts it", function()
    local function left_out(made, changes)
      local found = check({ made }, {}, changes)
      assert.same({ {}, {} }, { found.problems, found.unprovable })
      return found.proved == 0 and found.left_out == 1
    end
    assert.is_true(left_out(row{ luas = { "luajit" } }))
    assert.is_true(left_out(row{ when = "native" }))
    assert.is_true(left_out(row(), { specs = { ["spec/other_spec.lua"] = true } }))
    assert.is_true(left_out(row(), { specs = { ["spec/pack"] = true } }))
  end)

  it("asks for what is there", function()
    assert.matches("no test", problem_of(row{ when = "native" }, {}, { conditions = { native = true } }))
    assert.matches("no test", problem_of(row(), {}, { specs = { [HERE] = true } }))
    assert.matches("no test", problem_of(row(), {}, { specs = { ["spec/packaging"] = true } }))
  end)

  it("finds a row that says too little or too much", function()
    for _, field in ipairs({ "area", "name", "spec", "test" }) do
      assert.matches("has no " .. field, problem_of(row{ [field] = "" }, { outcome("passed") }))
    end
    assert.matches("unknown field", problem_of(row{ lua = "lua5.1" }, { outcome("passed") }))
    assert.matches("unknown Lua", problem_of(row{ luas = { "lua54" } }, { outcome("passed") }))
    assert.matches("no list", problem_of(row{ luas = {} }, { outcome("passed") }))
    assert.matches("unknown condition", problem_of(row{ when = "nativ" }, { outcome("passed") }))
    assert.matches("no table", problem_of("ws", { outcome("passed") }))
  end)

  it("tells of every bad row, not only the first", function()
    local rows = { row(), row{ test = "a" }, row{ test = "b" } }
    local found = check(rows, { outcome("passed", nil, "ws write") })
    assert.same({ 2, 1 }, { #found.problems, found.proved })
  end)
end)

describe("missing rows", function()
  local function missing(rows, ...)
    return contract_check.missing(rows, { { areas = { ... }, name = "port" } })
  end

  it("none where a row of the right area has the name", function()
    assert.same({}, missing({ row{ area = "option", name = "port" } }, "option"))
    assert.same({}, missing({ row{ area = "limit", name = "port" } }, "option", "limit"))
    assert.same({}, missing({ row{ area = "option", name = "interf, port (not available)" } }, "option"))
  end)

  it("are told by area and name", function()
    for _, made in ipairs({
      row{ area = "rule", name = "port" }, row{ area = "option", name = "ports" },
      row{ area = "option", name = "port stays" }, row{ area = "option", name = "x (port)" },
    }) do
      assert.same({ "no row for option or limit port" }, missing({ made }, "option", "limit"))
    end
    assert.same({ "no row for option port" }, missing({}, "option"))
  end)

  it("are sought for methods, not for metamethods and what is internal", function()
    local class = { new = print, service = print, __tostring = print, __index = {} }
    assert.same({ { areas = { "method" }, name = "context:service" } }, promises.of_class("context", class))
    assert.same({ { areas = { "method" }, name = "ws:new" } }, promises.of_class("ws", { new = print }))
  end)

  it("are sought for functions, and for each group of constants", function()
    local module = { context = print, engine = "pure", POLLIN = 1, POLLOUT = 4, WRITE_TEXT = 0, WRITE_PING = 5 }
    assert.same({
      { areas = { "constant" }, name = "POLL" }, { areas = { "constant" }, name = "WRITE" },
      { areas = { "method" }, name = "context" }, { areas = { "method" }, name = "engine" },
    }, promises.of_module(module))
  end)

  it("are sought for each option, available or not", function()
    assert.same({ { areas = { "option", "limit" }, name = "port" }, { areas = { "option", "limit" }, name = "tls" } },
      promises.of_options({ KNOWN = { port = {} }, UNAVAILABLE = { tls = true } }))
  end)

  it("there are none: every method, option, group of constants and decision is in the contract", function()
    assert.same({}, contract_check.missing(dofile("spec/contract.lua"), promises.all()))
  end)
end)
