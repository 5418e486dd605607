--- What fails in a whole run runs once more by itself, and only what fails again has failed.
-- @module spec.packaging.rerun_spec

local child = require "spec.support.child"
local rerun = require "spec.support.rerun"

local function outcome(file, status, name) return { file = file, status = status, name = name } end

local FOUND = { outcome("a", "failed", "1"), outcome("a", "failed", "2"), outcome("b", "passed", "3") }

describe("the files that run once more", function()
  local job = { pair = { lua = "lua5.4" }, files = { "a", "b" } }
  local luajit = { pair = { lua = "luajit" }, files = { "a", "b" } }

  it("are those in which something failed", function()
    assert.same({ "a" }, rerun.files(job, FOUND, 1, 2))
    assert.is_nil(rerun.files(job, { FOUND[3] }, 1, 0))
    assert.is_nil(rerun.files(job, { FOUND[3] }, 1, 3))
  end)

  it("are all of them after a crash of LuaJIT, of which some are its own", function()
    assert.same({ "a", "b" }, rerun.files(luajit, FOUND, nil, 139))
    assert.is_nil(rerun.files(job, FOUND, nil, 139))
    -- The code of `timeout`: the run hung.
    assert.is_nil(rerun.files(luajit, FOUND, nil, 124))
  end)

  it("count with their second results", function()
    local second = { outcome("a", "passed", "1"), outcome("a", "failed", "2") }
    local merged, unsteady = rerun.merge(FOUND, second, { "a" })
    assert.same({ FOUND[3], second[1], second[2] }, merged)
    assert.same({ FOUND[1] }, unsteady)
  end)
end)

describe("a whole run", function()
  local folder

  -- A tree of its own, with one spec. `spec/support` is this one.
  before_each(function()
    folder = child.make_folder()
    child.run(("mkdir %s/spec && cp .busted %s && cp -r spec/run.lua spec/support %s/spec"):format(folder, folder,
      folder))
  end)
  after_each(function() child.remove_folder(folder) end)

  local function write(path, text)
    local file = assert(io.open(folder .. "/" .. path, "w"))
    file:write(text)
    file:close()
  end

  local function run(test)
    write("spec/contract.lua", [[return { { area = "x", name = "y", spec = "spec/one_spec.lua", test = "holds" } }]])
    write("spec/one_spec.lua", ([[it("holds", function() %s end)]]):format(test))
    local command = "cd %s && LUAS= SPEC= CHECKS= JOBS= NO_NATIVE=none %s spec/run.lua"
    return child.run(command:format(child.quote(folder), child.quote(child.this_lua())))
  end

  it("passes where the second attempt passes, and tells the first", function()
    local text, code = run([[
      local path = "]] .. folder .. [[/there"
      local is_second = io.open(path)
      io.open(path, "w"):close()
      assert(is_second, "the first attempt")]])
    assert.equal(0, code, text)
    assert.matches("FAILED under [^\n]+ holds\n[^\n]*the first attempt", text)
    assert.matches("\nonce more, by itself: spec/one_spec%.lua %[lua[^\n]*%]\n", text)
    assert.matches("\nunsteady: spec/one_spec%.lua: holds %[lua[^\n]*%]\n", text)
    assert.matches("\n1 unsteady: [^\n]+\n1 passed, 0 failed, 1 skipped\n$", text)
  end)

  it("fails where both attempts fail", function()
    local text, code = run([[error "always"]])
    assert.equal(1, code, text)
    assert.is_nil(text:find("unsteady", 1, true))
    -- The test and the row of the contract.
    assert.matches("\n0 passed, 2 failed, 1 skipped\n$", text)
  end)
end)
