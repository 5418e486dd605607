--- Which engine turns bytes into messages: the accelerator where it can be loaded, else pure Lua.
-- @module websockets.engine.loader
local engine = {}

--- Chooses by the environment variable WEBSOCKETS_NATIVE: `on` insists, `off` declines, else what is there.
-- @treturn table the engine
-- @raise when `on` and the accelerator cannot be loaded
function engine.choose()
  local wish = os.getenv("WEBSOCKETS_NATIVE")
  if wish ~= "off" then
    local found, native = pcall(require, "websockets.engine.native")
    if found then return native end
    if wish == "on" then error("WEBSOCKETS_NATIVE=on, but: " .. tostring(native), 0) end
  end
  return require("websockets.engine.pure")
end

--- Gives an engine that may compress.
-- @tparam table chosen
-- @treturn table the same, or the pure one
function engine.that_compresses(chosen)
  if chosen.can_compress then return chosen end
  return require("websockets.engine.pure")
end

return engine
