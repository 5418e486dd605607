--- The options of `websockets.files`: names, checks, defaults.
-- @module websockets.options.files
local errors = require("websockets.errors")
local fields = require("websockets.http.fields")

local options = {}

local function is_flag(value) return type(value) == "boolean" end

local function is_field(value)
  return type(value) == "function" or (type(value) == "string" and fields.is_value(value))
end

local function are_types(value)
  if type(value) ~= "table" then return false end
  for extension, name in pairs(value) do
    if type(extension) ~= "string" or extension:find("[^%w_-]") or extension:lower() ~= extension then return false end
    if type(name) ~= "string" or not is_field(name) then return false end
  end
  return true
end

local function is_name(value)
  return value == false or (type(value) == "string" and value ~= "" and not value:find("[/\\%z]"))
end

local OPTIONS = {
  index = { default = "index.html", check = is_name, expected = "file name, or false" },
  types = { check = are_types, expected = "table of extension in lower case -> media type" },
  cache_control = { check = is_field, expected = "string without control characters, or function" },
  precompressed = { default = true, check = is_flag, expected = "boolean" },
  hidden = { default = false, check = is_flag, expected = "boolean" },
}

--- Checks what the caller gave and fills in the defaults.
-- @tparam ?table given option name -> value
-- @tparam integer level whose mistake it is, as for `error`
-- @treturn table option name -> value, complete
-- @raise for an unknown name or a wrong value
function options.read(given, level)
  local settings = {}
  for name, known in pairs(OPTIONS) do settings[name] = known.default end
  if given == nil then return settings end
  if type(given) ~= "table" then errors.argument(2, "files", "table of options", given, level + 1) end
  for name, value in pairs(given) do
    local known = OPTIONS[name]
    if not known then error(("unknown option '%s'"):format(tostring(name)), level) end
    if not known.check(value) then errors.option(name, known.expected, value, level + 1) end
    settings[name] = value
  end
  return settings
end

return options
