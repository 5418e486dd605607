--- Which engine turns bytes into messages: the accelerator where it can be loaded, else pure Lua.
-- @module websockets.engine.loader
local load = require("websockets.loading").load

local engine = {}

-- Nothing is said of an accelerator that is nowhere: that is how a system without it looks.
local ABSENT = "module 'websockets_native' not found"

--- Chooses by the environment variable WEBSOCKETS_NATIVE: `on` insists, `off` declines, else what is there.
-- @treturn table the engine
-- @treturn ?string why an accelerator that is there is not used
-- @raise when `on` and the accelerator cannot be loaded
function engine.choose()
  local wish = os.getenv("WEBSOCKETS_NATIVE")
  local refusal
  if wish ~= "off" then
    local found, native = pcall(load, "websockets.engine.native")
    if found then return native end
    local why = tostring(native)
    if wish == "on" then error("WEBSOCKETS_NATIVE=on, but: " .. why, 0) end
    if not why:find(ABSENT, 1, true) then refusal = why end
  end
  return require("websockets.engine.pure"), refusal
end

--- Gives an engine that may compress.
-- @tparam table chosen
-- @treturn table the same, or the pure one
function engine.that_compresses(chosen)
  if chosen.can_compress then return chosen end
  return load("websockets.engine.pure")
end

return engine
