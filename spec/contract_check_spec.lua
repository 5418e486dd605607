--- The check of the contract finds each kind of row that nothing proves.
-- @module spec.contract_check_spec

local contract_check = require "spec.support.contract_check"

local HERE = "spec/contract_check_spec.lua"

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
  local run = { luas = { ["lua5.1"] = true, ["lua5.4"] = true }, conditions = { native = false } }
  for field, value in pairs(changes or {}) do run[field] = value end
  return contract_check.check(rows, outcomes, run)
end

local function problem_of(made, outcomes, changes)
  local problems = check({ made }, outcomes, changes)
  assert.equal(1, #problems)
  return problems[1]
end

describe("contract check", function()
  it("is content with a test that passed", function()
    local problems, checked, left_out = check({ row() }, { outcome("passed") })
    assert.same({}, problems)
    assert.same({ 1, 0 }, { checked, left_out })
  end)

  it("is content where one Lua passed and another skipped", function()
    assert.same({}, (check({ row() }, { outcome("skipped", "lua5.1"), outcome("passed") })))
  end)

  it("reads the test's name as plain text", function()
    assert.same({}, (check({ row{ test = "a-b (c)" } }, { outcome("passed", nil, "x a-b (c) y") })))
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
  end)

  it("finds a test that failed under any Lua", function()
    assert.matches("failed under lua5.1", problem_of(row(), { outcome("passed"), outcome("failed", "lua5.1") }))
    assert.matches("failed under lua5.4",
      problem_of(row(), { outcome("passed"), outcome("failed", nil, "ws write, the other") }))
  end)

  it("asks for each Lua that a row names", function()
    local made = row{ luas = { "lua5.1", "lua5.4" } }
    assert.matches("not passed under lua5.1", problem_of(made, { outcome("passed") }))
    assert.same({}, (check({ made }, { outcome("passed"), outcome("passed", "lua5.1") })))
  end)

  it("leaves out what this run does not ask for, and counts it", function()
    local function left_out(made, changes)
      local problems, checked, left = check({ made }, {}, changes)
      assert.same({}, problems)
      return checked == 0 and left == 1
    end
    assert.is_true(left_out(row{ luas = { "luajit" } }))
    assert.is_true(left_out(row{ when = "native" }))
    assert.is_true(left_out(row(), { specs = { ["spec/other_spec.lua"] = true } }))
  end)

  it("asks for what is there", function()
    assert.matches("no test", problem_of(row{ when = "native" }, {}, { conditions = { native = true } }))
    assert.matches("no test", problem_of(row(), {}, { specs = { [HERE] = true } }))
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
    local problems, checked = check(rows, { outcome("passed", nil, "ws write") })
    assert.same({ 2, 3 }, { #problems, checked })
  end)
end)
