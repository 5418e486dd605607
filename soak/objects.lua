--- Counts the objects that a Lua program can reach: what it keeps, in contrast to what waits to be collected.
-- @module soak.objects
local objects = {}

local COUNTED = { table = true, ["function"] = true, userdata = true, thread = true }

local function is_weak(meta, letter)
  local mode = type(meta) == "table" and rawget(meta, "__mode")
  return type(mode) == "string" and mode:find(letter, 1, true) ~= nil
end

-- The keys and values that a table keeps alive: not those that are weak by its `__mode`.
local function visit_table(value, push)
  local meta = debug.getmetatable(value)
  local has_weak_keys, has_weak_values = is_weak(meta, "k"), is_weak(meta, "v")
  for key, kept in next, value do
    if not has_weak_keys then push(key) end
    if not has_weak_values then push(kept) end
  end
  push(meta)
end

local function visit_function(value, push)
  local at = 1
  while true do
    local name, kept = debug.getupvalue(value, at)
    if not name then break end
    push(kept)
    at = at + 1
  end
  -- Lua 5.1 and LuaJIT.
  if debug.getfenv then push(debug.getfenv(value)) end
end

local function visit_thread(value, push)
  local level = 0
  while debug.getinfo(value, level, "f") do
    push(debug.getinfo(value, level, "f").func)
    local at = 1
    while true do
      local name, kept = debug.getlocal(value, level, at)
      if not name then break end
      push(kept)
      at = at + 1
    end
    level = level + 1
  end
end

local function visit_userdata(value, push)
  push(debug.getmetatable(value))
  local get = debug.getuservalue or debug.getfenv
  push((get(value)))
end

local VISIT = { table = visit_table, ["function"] = visit_function, thread = visit_thread, userdata = visit_userdata }

--- Counts them.
-- @treturn table kind -> how many
function objects.count()
  collectgarbage()
  collectgarbage()
  local seen, waiting, found = {}, {}, {}
  local function push(value)
    local kind = type(value)
    if not COUNTED[kind] or seen[value] or value == seen or value == waiting or value == found then return end
    seen[value] = true
    found[kind] = (found[kind] or 0) + 1
    waiting[#waiting + 1] = value
  end
  push(_G)
  push(debug.getregistry())
  local at = 1
  while waiting[at] do
    VISIT[type(waiting[at])](waiting[at], push)
    waiting[at] = false
    at = at + 1
  end
  return found
end

return objects
