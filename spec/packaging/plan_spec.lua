--- A whole run has every spec file somewhere, every job is run to its end, and several run at a time.
-- @module spec.packaging.plan_spec

local child = require "spec.support.child"
local plan = require "spec.support.plan"
local queue = require "spec.support.queue"
local read = require("spec.support.file").read

local SELECTED, LONG, SHORT = "spec/interop/front_spec.lua", "spec/behaviour/allocation_spec.lua", "spec/short_spec.lua"

local function pair(lua, is_native) return { lua = lua, is_native = is_native } end

-- The files that the pair is to run, in their order.
local function files_of(portions, wanted)
  local files = {}
  for _, portion in ipairs(portions) do
    for _, file in ipairs(portion.pair == wanted and portion.files or {}) do files[#files + 1] = file end
  end
  return files
end

describe("the plan of a run", function()
  it("has a selected file under its pairs, and all others under each", function()
    local pure, native, other = pair("lua5.4"), pair("lua5.4", true), pair("lua5.2", true)
    local portions = plan.portions({ other, pure, native }, { SELECTED, SHORT }, true)
    assert.same({ SHORT }, files_of(portions, other))
    assert.same({ SHORT }, files_of(portions, pure))
    assert.same({ SELECTED, SHORT }, files_of(portions, native))
  end)

  it("has a selected file under the first pair where none of its own is here", function()
    local pure, native = pair("lua5.2"), pair("lua5.2", true)
    local portions = plan.portions({ pure, native }, { SELECTED }, true)
    assert.same({ { SELECTED }, {} }, { files_of(portions, pure), files_of(portions, native) })
  end)

  it("understands a star as each Lua", function()
    local pure, native = pair("lua5.3"), pair("lua5.3", true)
    local portions = plan.portions({ pure, native }, { "spec/packaging/rock_spec.lua" }, true)
    assert.same({ 1, 0 }, { #files_of(portions, pure), #files_of(portions, native) })
  end)

  it("has named files under every pair", function()
    local pure, native = pair("lua5.2"), pair("lua5.2", true)
    local portions = plan.portions({ pure, native }, { SELECTED }, false)
    assert.same({ { SELECTED }, { SELECTED } }, { files_of(portions, pure), files_of(portions, native) })
  end)

  it("begins with the longest, each in a portion of its own, and has the others in few portions", function()
    local files = { LONG }
    for i = 1, 100 do files[i + 1] = ("spec/%d_spec.lua"):format(i) end
    local portions = plan.portions({ pair("lua5.4") }, files, true)
    assert.same({ LONG }, portions[1].files)
    assert.is_true(#portions > 2 and #portions < 20)
    assert.equal(#files, #files_of(portions, portions[1].pair))
  end)

  it("names files that are there", function()
    for _, file in ipairs(plan.named_files()) do
      local found = io.open(file)
      assert.truthy(found, file)
      found:close()
    end
  end)
end)

describe("the queue of a run", function()
  local folder

  before_each(function() folder = child.make_folder() end)
  after_each(function() child.remove_folder(folder) end)

  it("tells of each job as it ends, with its exit code and what it printed", function()
    local jobs, ended = { { command = "echo one; echo two >&2" }, { command = "(exit 7)" } }, {}
    assert.same({}, queue.run(jobs, 2, folder, function(job, code)
      ended[job] = { code, read(job.log) }
    end))
    assert.same({ 0, "one\ntwo\n" }, ended[jobs[1]])
    assert.same({ 7, "" }, ended[jobs[2]])
  end)

  it("runs so many at a time: each of two waits for the other, and a third comes when one has ended", function()
    local jobs, order = {}, {}
    child.run(("mkfifo %s/pipe1 %s/pipe2"):format(folder, folder))
    jobs[1] = { name = 1, command = ("echo >%s/pipe1; read line <%s/pipe2"):format(folder, folder) }
    jobs[2] = { name = 2, command = ("read line <%s/pipe1; echo >%s/pipe2"):format(folder, folder) }
    jobs[3] = { name = 3, command = "true" }
    assert.same({}, queue.run(jobs, 2, folder, function(job) order[#order + 1] = job.name end))
    assert.equal(3, #order)
  end)

  it("goes on after a job that is killed", function()
    local jobs, codes = { { command = "kill -KILL $$" }, { command = "true" } }, {}
    assert.same({}, queue.run(jobs, 1, folder, function(job, code) codes[job] = code end))
    assert.same({ 137, 0 }, { codes[jobs[1]], codes[jobs[2]] })
  end)

  it("gives back the jobs of which it does not know the end", function()
    local jobs, ended = { { command = "true" }, { command = "kill -KILL $PPID" }, { command = "true" } }, {}
    assert.same({ jobs[2], jobs[3] }, queue.run(jobs, 1, folder, function(job) ended[#ended + 1] = job end))
    assert.same({ jobs[1] }, ended)
  end)
end)
