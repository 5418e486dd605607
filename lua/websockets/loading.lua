--- Modules that are loaded when they are first used.
-- @module websockets.loading
local loading = {}

local find = string.find

--- What Lua raises where memory is refused.
loading.OUT_OF_MEMORY = "not enough memory"

-- Takes what Lua 5.1 and LuaJIT would take for a module that is being loaded, for ever. What stands there meanwhile is
-- not the same in each Lua. All that the module loads may be in that state.
local function forget(prefix)
  for name, value in pairs(package.loaded) do
    local is_module = type(value) == "table" or type(value) == "function"
    if not is_module and find(name .. ".", prefix, 1, true) == 1 then package.loaded[name] = nil end
  end
end

--- Tells whether memory was refused: what was tried may work the next time.
-- @param err what was raised
-- @treturn boolean
function loading.is_shortage(err)
  return find(tostring(err), loading.OUT_OF_MEMORY, 1, true) ~= nil
end

--- Loads a module; after an error, as for want of memory, it can be tried again.
-- @tparam string name
-- @return the module
-- @raise what loading has raised
function loading.load(name)
  local is_loaded, module = pcall(require, name)
  if is_loaded then return module end
  forget("websockets.")
  error(module, 0)
end

--- Loads a module of others, which may be absent.
-- @tparam string name
-- @return[1] the module
-- @treturn[2] nil
-- @treturn[2] string what loading has raised
-- @raise for want of memory: it is not known whether it is there, and it can be tried again
function loading.optional(name)
  local is_loaded, module = pcall(require, name)
  if is_loaded then return module end
  if loading.is_shortage(module) then
    forget(name .. ".")
    error(module, 0)
  end
  return nil, tostring(module)
end

--- Keeps LuaJIT from compiling functions that go through a table by `pairs` or `next`. On x64 its versions before April
-- 2022, such as that of Debian 12, sometimes make code from these that crashes (issue 829 of LuaJIT). It does nothing
-- under other Luas.
-- @tparam function ... none: all of the module that calls this
function loading.interpret(...)
  local jit = rawget(_G, "jit")
  if not jit then return end
  if select("#", ...) == 0 then return jit.off(debug.getinfo(2, "f").func, true) end
  for i = 1, select("#", ...) do jit.off((select(i, ...))) end
end

loading.interpret(forget)

return loading
