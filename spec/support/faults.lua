--- Runs each scenario with a fault at each place: memory that is refused, or an error raised by a hook.
-- @module spec.support.faults

local fault_world = require("spec.support.fault_world")
local inside = require("spec.support.inside")
local scenarios = require("spec.support.fault_scenarios")

local faults = {}

local MEMORY, INTERRUPT = "not enough memory", "interrupted!"

-- The kinds of faults: `begin(fixture, place)` before a turn; `finish(fixture)` after it gives how many places it
-- passed, and whether the fault was met.
local kinds = {}

local function memory_kind(times)
  return {
    begin = function(fixture, place) fixture.arm(place, times) end,
    finish = function(fixture, place)
      local calls, failed = fixture.disarm()
      return math.min(calls, place), failed > 0
    end,
  }
end

-- Since Lua 5.2 a call that is refused is tried again after a collection.
kinds.once, kinds.often = memory_kind(2), memory_kind(40)
if _VERSION == "Lua 5.1" then kinds.once = memory_kind(1) end

kinds.hook = {
  begin = function(fixture, place) fixture.hook(place) end,
  finish = function(fixture, place)
    local left = fixture.unhook()
    return place - left, left <= 0
  end,
}

local function is_ours(err)
  err = tostring(err)
  return err:find(MEMORY, 1, true) or err:find(INTERRUPT, 1, true)
end

-- A turn of the context, with the fault at a place that counts through all turns of a scenario.
local function new_turn(fixture, world, kind, place, found)
  return function(work)
    work = work or function() world.context:service(0) end
    local is_good, err
    if found.is_met then
      is_good, err = pcall(work)
    else
      kind.begin(fixture, place - found.passed)
      is_good, err = pcall(work)
      local passed, is_met = kind.finish(fixture, place - found.passed)
      found.passed, found.is_met = found.passed + passed, is_met
    end
    if not is_good and not is_ours(err) then found.wrong[#found.wrong + 1] = "ERROR " .. tostring(err) end
  end
end

local function check_client(world, one, note)
  if one.is_peer then
    one:take()
    if one.connection then world:pump(function() return one:take() or one.bytes:find("greet") end) end
  elseif one.bytes:find("^HTTP/1.1 101") and not one.ended and not one.is_amid then
    one:send(one:frame(1, one.mark .. " again"))
    if not world:pump(function() return one:has("again") or one:take() end) then note("STUCK") end
  end
  local wrong = one:find_wrong()
  if wrong then note(wrong) end
end

-- Whether the context serves on.
local function check_service(world, clients, may_lose, note)
  local is_served, err = world:pump(function() return true end)
  while not is_served and err and is_ours(err) do is_served, err = world:pump(function() return true end) end
  if err then return note("SERVICE " .. err) end
  local new = world:open()
  if not new then note("NEW is not opened") end
  if new then clients[#clients + 1] = new end
  for _, name in ipairs({ "beside", "idle" }) do
    local one = world[name]
    one:take()
    if one.said and not one:has(one.said) and not one.ended and not may_lose then note("LOST " .. name) end
    if not one.ended then
      one.bytes = one.bytes:match("^HTTP.-\r\n\r\n") or ""
      one:say()
      local is_said
      is_said, err = world:pump(function() return one:has(one.said) or one.ended end)
      if not is_said then note("DEAF " .. name .. (err or "")) end
    end
    if one.ended and name == "idle" then note("ENDED idle") end
    one.said = nil
  end
  for _, one in ipairs(clients) do check_client(world, one, note) end
  if world.foreign then note(world.foreign) end
  world.foreign = false
end

-- Whether everything comes back.
local function check_rest(fixture, world, clients, before, note)
  for _, one in ipairs(clients) do one:close() end
  for _, name in ipairs({ "beside", "idle" }) do
    if world[name].ended then
      world[name]:close()
      world[name] = world:open()
      if not world[name] then return note("NEW is not opened") end
    end
    world[name].bytes = ""
    world[name].bytes = "HTTP/1.1 101\r\n\r\n"
  end
  local function is_clean() return inside.connections(world.context) == 2 and fixture.descriptors() == before end
  if not world:pump(is_clean) then
    collectgarbage()
    collectgarbage()
    local is_late = world:pump(is_clean)
    if not is_late then
      world:advance(100)
      world:pump(is_clean)
      local count = inside.connections(world.context)
      note(is_clean() and "DEADLINE" or ("LEFT %d connections, %d descriptors"):format(count - 2,
        fixture.descriptors() - before))
    else
      note("COLLECTED")
    end
  end
  if inside.buffered(world.context) ~= 0 then note("BUFFERED " .. inside.buffered(world.context)) end
  if inside.budget(world.context) ~= 0 then note("BUDGET " .. inside.budget(world.context)) end
end

--- Runs one scenario with a fault of one kind at one place after the other.
-- @tparam table fixture the module `faults`
-- @tparam string name of the scenario
-- @tparam string kind `once`, `often` or `hook`
-- @tparam[opt] table how `first` (1), `step` (1), `last`, `options` of the context
-- @treturn table `places`: how many; `wrong`: what was found, a list of `place: what`
function faults.run(fixture, name, kind, how)
  how = how or {}
  local result = { places = 0, wrong = {} }
  local world, before = nil, nil
  local place = how.first or 1
  repeat
    if not world then
      world = fault_world.new(how.options)
      collectgarbage()
      collectgarbage()
      before = fixture.descriptors()
    end
    local found = { passed = 0, is_met = false, wrong = {} }
    local function note(what) found.wrong[#found.wrong + 1] = what end
    local clients = scenarios[name](world, new_turn(fixture, world, kinds[kind], place, found))
    before, world.accepting = before + world.accepting, 0
    check_service(world, clients, kind == "often" or world.raised == world.beside.mark, note)
    world.raised = false
    if #found.wrong == 0 then check_rest(fixture, world, clients, before, note) end
    for _, what in ipairs(found.wrong) do result.wrong[#result.wrong + 1] = ("%d: %s"):format(place, what) end
    if #found.wrong > 0 then
      for _, one in ipairs(clients) do one:close() end
      world:close()
      world = nil
    end
    result.places = place
    place = place + (how.step or 1)
  until not found.is_met or place > (how.last or math.huge)
  if world then world:close() end
  return result
end

--- Names the scenarios.
-- @treturn {string,...} in their order
function faults.names()
  local names = {}
  for name in pairs(scenarios) do names[#names + 1] = name end
  table.sort(names)
  return names
end

return faults
