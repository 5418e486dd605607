--- Runs each scenario with a fault at each place: memory that is refused, or an error raised by a hook.
-- @module spec.support.faults

local fault_world = require("spec.support.fault_world")
local inside = require("spec.support.inside")
local redis_faults = require("spec.support.redis_faults")
local scenarios = require("spec.support.fault_scenarios")
local socket = require("socket")
local topic_faults = require("spec.support.topic_faults")

local faults = {
  --- What the linker is told for the module `faults`: Lua calls it until the very end.
  FLAGS = "-Wl,-z,nodelete",
}

local MEMORY, INTERRUPT = "not enough memory", "interrupted!"
-- No scenario has so many places.
local NEVER = 2 ^ 40
local jit_here = rawget(_G, "jit")

-- The kinds of faults: `run(fixture, place, work)` does the work of a turn under it; `finish(fixture, place)` after it
-- gives how many places it passed, and whether the fault was met.
local kinds = {}

local function memory_kind(times)
  return {
    run = function(fixture, place, work)
      fixture.arm(place, times)
      work()
    end,
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
  run = function(fixture, place, work)
    fixture.hook(place)
    work()
    fixture.unhook()
  end,
  finish = function(fixture, place)
    local left = fixture.unhook()
    return place - left, left <= 0
  end,
}

local function is_ours(err)
  -- LuaJIT raises what lies on its stack where that cannot grow.
  if jit_here and type(err) == "function" then return true end
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
      is_good, err = pcall(kind.run, fixture, place - found.passed, work)
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
  -- A callback that was interrupted between two calls may have left its connection paused.
  elseif one.bytes:find("^HTTP/1.1 101") and not one.ended and not one.is_amid and not world.is_inside[one.mark] then
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
    -- Where time has passed, it may have been its ping that the fault met.
    if one.ended and name == "idle" and not world.has_advanced then note("ENDED idle") end
    one.said = nil
  end
  for _, one in ipairs(clients) do check_client(world, one, note) end
  if world.foreign then note(world.foreign) end
  world.foreign = false
end

-- Whether everything comes back; `lost` descriptors at most are LuaSocket's.
local function check_rest(fixture, world, clients, before, lost, note)
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
  local function is_clean()
    local more = fixture.descriptors() - before
    return inside.connections(world.context) == 2 and more >= 0 and more <= lost
  end
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

-- Runs a scenario with a fault at one place, and checks what follows. Returns how many places there were up to that
-- one, whether the fault was met, and what was found.
local function try(fixture, run, place)
  if not run.world then
    local options, server = redis_faults.options(run.name)
    run.world = fault_world.new(run.how.options or options or topic_faults.options(run.name), server)
    collectgarbage()
    collectgarbage()
    run.before = fixture.descriptors()
  end
  local world, found = run.world, { passed = 0, is_met = false, wrong = {} }
  local function note(what) found.wrong[#found.wrong + 1] = what end
  local clients = scenarios[run.name](world, new_turn(fixture, world, kinds[run.kind], place, found))
  local lost = world.accepting
  world.accepting = 0
  check_service(world, clients, run.kind ~= "once" or world.is_inside[world.beside.mark], note)
  world.is_inside[world.beside.mark], world.has_advanced = false, false
  local is_left = false
  for _, one in ipairs(clients) do is_left = is_left or world.is_inside[one.mark] end
  if #found.wrong == 0 and not is_left then check_rest(fixture, world, clients, run.before, lost, note) end
  if lost > 0 then run.before = fixture.descriptors() end
  -- A callback that was interrupted may have left its connection paused: that is not read to its end.
  if #found.wrong > 0 or is_left then
    for _, one in ipairs(clients) do one:close() end
    world:close()
    run.world = nil
  end
  return found
end

--- Runs one scenario with a fault of one kind at one place after the other.
-- @tparam table fixture the module `faults`
-- @tparam string name of the scenario
-- @tparam string kind `once`, `often` or `hook`
-- @tparam[opt] table how `first` (1), `last`; `step` (1), or `samples`: how many places at most, over all of them;
-- `seconds`: after so many it ends; `options` of the context
-- @treturn table `places`: the last one that was tried; `tried`: how many; `met`: at how many of them a fault came;
-- `is_cut`: whether `seconds` have ended it; `wrong`: what was found, a list of `place: what`
function faults.run(fixture, name, kind, how)
  how = how or {}
  local run = { name = name, kind = kind, how = how }
  local result = { places = 0, tried = 0, met = 0, wrong = {}, is_cut = false }
  local place, step = how.first or 1, how.step or 1
  -- Compiled code asks no hook.
  if jit_here then jit_here.off() end
  if how.samples then step = math.max(1, math.floor(try(fixture, run, NEVER).passed / how.samples)) end
  local ends_at = socket.gettime() + (how.seconds or math.huge)
  local is_met
  repeat
    local found = try(fixture, run, place)
    is_met = found.is_met
    for _, what in ipairs(found.wrong) do result.wrong[#result.wrong + 1] = ("%d: %s"):format(place, what) end
    result.places, result.tried = place, result.tried + 1
    result.met = result.met + (is_met and 1 or 0)
    place = place + step
    result.is_cut = is_met and socket.gettime() > ends_at
  until not is_met or result.is_cut or place > (how.last or math.huge)
  if run.world then run.world:close() end
  if jit_here then jit_here.on() end
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
