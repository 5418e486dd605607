--- What the adapters for event loops have in common.
-- @module websockets.loop.host
local errors = require("websockets.errors")

local host = {}

local LEVEL_OF_CALLER = 4

--- Loads the module of an event loop.
-- @tparam string name of the module
-- @tparam string package that has it
-- @return the module
-- @raise naming the package, where the module cannot be loaded
function host.load(name, package)
  local is_there, module = pcall(require, name)
  if is_there then return module end
  error(("%s cannot be loaded, which websockets.loop.%s needs: %s"):format(package, name, module), 0)
end

--- Gives what threads of a loop need that are coroutines.
-- @treturn ?function `xpcall`, or one like it, inside of which a coroutine can be suspended; nil in Lua 5.1 without
-- coxpcall
-- @treturn ?function `coroutine.running`, or one like it that knows of that
function host.coroutines()
  local has_coxpcall, coxpcall = pcall(require, "coxpcall")
  if has_coxpcall then return coxpcall.xpcall, coxpcall.running end
  local try = coroutine.wrap(function() return xpcall(coroutine.yield, error) end)
  try()
  local can_go_on, is_good = pcall(try)
  if can_go_on and is_good then return xpcall, coroutine.running end
end

--- Raises for a wrong second argument of the `attach` of an adapter.
-- @tparam boolean is_good
-- @tparam string expected
-- @param loop what was given
function host.check(is_good, expected, loop)
  if not is_good then errors.argument(2, "attach", expected, loop, LEVEL_OF_CALLER) end
end

--- Attaches a driver to a context, for the `attach` of an adapter.
-- @tparam table context
-- @tparam table driver see `context:attach`; gets the field `attachment`
-- @treturn websockets.attachment
-- @raise as `context:attach`, at the line that called the adapter
function host.attach(context, driver)
  if type(context) ~= "table" or type(context.attach) ~= "function" then
    errors.argument(1, "attach", "context", context, LEVEL_OF_CALLER)
  end
  local is_good, attachment = pcall(context.attach, context, driver)
  if not is_good then
    local text = type(attachment) == "string" and attachment:gsub("^[^\n]-:%d+: ", "")
    error(text or attachment, LEVEL_OF_CALLER - 1)
  end
  driver.attachment = attachment
  return attachment
end

return host
