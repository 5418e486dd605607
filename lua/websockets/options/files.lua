--- The options of `websockets.files`: names, checks, defaults.
-- @module websockets.options.files
local definition = require("websockets.options.definition")
local errors = require("websockets.errors")
local fields = require("websockets.http.fields")

local options = {}

local define = definition.new

local function is_flag(value) return type(value) == "boolean" end

local function is_field(value)
  return type(value) == "function" or (type(value) == "string" and fields.is_value(value))
end

local function are_types(value)
  if type(value) ~= "table" then return false end
  for extension, name in pairs(value) do
    if type(extension) ~= "string" or extension:find("[^%w_-]") or extension:lower() ~= extension
      or type(name) ~= "string" or not is_field(name) then
      return false, errors.entry(value, extension)
    end
  end
  return true
end

local function is_name(value)
  return value == false or (type(value) == "string" and value ~= "" and not value:find("[/\\%z]"))
end

--- The options, by name: `default`, `check(value)`, `expected`.
options.KNOWN = {
  index = define("index.html", is_name, "file name, or false"),
  types = define(nil, are_types, "table of extension in lower case -> media type"),
  cache_control = define(nil, is_field, "string without control characters, or function"),
  precompressed = define(true, is_flag, "boolean"),
  hidden = define(false, is_flag, "boolean"),
}

--- Checks the options and fills in the defaults.
-- @tparam ?table given option name -> value
-- @tparam integer level of the caller, as for `error`
-- @treturn table option name -> value, for every option
-- @raise for an unknown name or a wrong value
function options.read(given, level)
  local settings = definition.defaults(options.KNOWN)
  if given == nil then return settings end
  if type(given) ~= "table" then errors.argument(2, "files", "table of options", given, level + 1) end
  for name, value in pairs(given) do
    settings[name] = definition.check(options.KNOWN, name, value, level + 1)
  end
  return settings
end

require("websockets.loading").interpret(are_types, options.read)

return options
