--- A strict reader of JSON for specs.
-- @module spec.support.json
local json = {}

local value

local NAMES = { ["true"] = true, ["false"] = false, null = false }
local ESCAPES = { b = "\b", f = "\f", n = "\n", r = "\r", t = "\t" }

local function fail(text, at, expected)
  error(("JSON: %s expected at byte %d: %s"):format(expected, at, text:sub(at, at + 20)), 0)
end

local function skip(text, at) return text:match("^[ \n\r\t]*()", at) end

local function read_string(text, at)
  local from = at + 1
  repeat
    at = text:find('["\\%c]', at + 1)
    local mark = at and text:sub(at, at)
    if mark == "\\" then at = at + 1 elseif mark ~= '"' then fail(text, from, "a string") end
  until mark == '"'
  -- Only the escapes that the files of this project have.
  return text:sub(from, at - 1):gsub("\\(.)", function(mark) return ESCAPES[mark] or mark end), at + 1
end

local function read_list(text, at)
  local list = {}
  at = skip(text, at + 1)
  if text:sub(at, at) == "]" then return list, at + 1 end
  while true do
    list[#list + 1], at = value(text, at)
    local mark = text:sub(at, at)
    if mark == "]" then return list, at + 1 end
    if mark ~= "," then fail(text, at, ", or ]") end
    at = skip(text, at + 1)
  end
end

local function read_object(text, at)
  local object = {}
  at = skip(text, at + 1)
  if text:sub(at, at) == "}" then return object, at + 1 end
  while true do
    if text:sub(at, at) ~= '"' then fail(text, at, "a name") end
    local name
    name, at = read_string(text, at)
    if object[name] ~= nil then fail(text, at, "another name") end
    at = skip(text, at)
    if text:sub(at, at) ~= ":" then fail(text, at, ":") end
    object[name], at = value(text, skip(text, at + 1))
    local mark = text:sub(at, at)
    if mark == "}" then return object, at + 1 end
    if mark ~= "," then fail(text, at, ", or }") end
    at = skip(text, at + 1)
  end
end

local READERS = { ['"'] = read_string, ["["] = read_list, ["{"] = read_object }

local function read_other(text, at)
  local word = text:match("^%a+", at)
  if word and NAMES[word] ~= nil then return NAMES[word], at + #word end
  local number = text:match("^%-?%d+%.?%d*[eE]?[-+]?%d*", at)
  if not number or not tonumber(number) then fail(text, at, "a value") end
  return tonumber(number), at + #number
end

function value(text, at)
  local found, after = (READERS[text:sub(at, at)] or read_other)(text, at)
  return found, skip(text, after)
end

--- Reads a text.
-- @tparam string text
-- @return its value; null is false
-- @raise naming what is wrong
function json.read(text)
  local found, at = value(text, skip(text, 1))
  if at <= #text then fail(text, at, "the end") end
  return found
end

return json
