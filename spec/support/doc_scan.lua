--- Reads Lua source for functions that others can call, and says what their documentation lacks.
-- @module spec.support.doc_scan
--
-- What others can call is what is no `local`: `function a.b(...)`, `function a:b(...)`, `a.b = function(...)` at the
-- start of a line. Such a function ends with an `end` at the start of a line. Metamethods (`a.__gc`) are called by
-- nobody and need no documentation.

local doc_scan = {}

local FORMS = {
  "^function%s+([%w_]+[.:][%w_.:]+)%s*(%b())",
  "^([%w_]+%.[%w_.]+)%s*=%s*function%s*(%b())",
}

local function function_at(line)
  for _, form in ipairs(FORMS) do
    local name, arguments = line:match(form)
    if name and not name:find("[.:]__") then return name, arguments:sub(2, -2) end
  end
  return nil
end

-- The comment right above a line, if it begins with three dashes.
local function comment_above(lines, position)
  local comment = {}
  while position > 1 and lines[position - 1]:match("^%-%-") do
    position = position - 1
    table.insert(comment, 1, lines[position])
  end
  return comment[1] and comment[1]:match("^%-%-%-%s*%S") and comment or nil
end

-- LDoc's forms: `@tparam TYPE NAME`, `@param NAME`; either may have modifiers in brackets.
local function tells_argument(comment, name)
  for _, line in ipairs(comment) do
    local told = line:match("^%-%-%s*@tparam%S*%s+%S+%s+(%S+)") or line:match("^%-%-%s*@param%S*%s+(%S+)")
    if told and told:gsub("[,;:]$", "") == name then return true end
  end
  return false
end

local function tells_result(comment)
  for _, line in ipairs(comment) do
    if line:match("^%-%-%s*@t?return%f[^%w_]%S*%s+%S") then return true end
  end
  return false
end

-- Whether the code of one line, outside any function in it, returns a value.
local function line_returns_value(code)
  local before, value = code:match("^(.-)%f[%w_]return%f[^%w_]%s*(.*)$")
  return value ~= nil and value ~= "" and not value:match("^end%f[^%w_]")
    and not before:match("%f[%w_]function%f[^%w_]")
end

-- Whether a `return` with a value belongs to the function itself, not to one inside it.
local function returns_value(lines, position)
  local body = lines[position]:match("%b()(.*)$")
  if body:match("%f[%w_]end%s*$") then return line_returns_value(body) end
  local inner
  for at = position + 1, #lines do
    local line = lines[at]
    local indent = line:match("^%s*")
    if line:match("^end") then return false end
    if inner then
      if indent == inner and line:match("^%s*end") then inner = nil end
    elseif line_returns_value(line) then
      return true
    else
      local opens = line:match("%f[%w_]function%f[^%w_].*$")
      if opens and not opens:match("%f[%w_]end%f[^%w_]") then inner = indent end
    end
  end
  return false
end

local function lacking(lines, position, arguments)
  local comment = comment_above(lines, position)
  if not comment then return { "has no documentation" } end
  local found = {}
  for argument in arguments:gmatch("[%w_.]+") do
    if argument:sub(1, 1) ~= "_" and argument ~= "self" and not tells_argument(comment, argument) then
      found[#found + 1] = "lacks @tparam " .. argument
    end
  end
  if returns_value(lines, position) and not tells_result(comment) then
    found[#found + 1] = "lacks @treturn"
  end
  return found
end

local function lines_of(source)
  local lines = {}
  for line in (source .. "\n"):gmatch("(.-)\r?\n") do lines[#lines + 1] = line end
  return lines
end

--- Says what one function lacks, local or not.
-- @tparam string source
-- @tparam number position the line on which the function begins
-- @treturn ?string what is lacking first; nil where nothing is
function doc_scan.lacking_at(source, position)
  local lines = lines_of(source)
  local arguments = lines[position]:match("function[^(]*(%b())") or "()"
  return lacking(lines, position, arguments:sub(2, -2))[1]
end

--- Scans one source text.
-- @tparam string source
-- @treturn table what is lacking, a text for each: `line: function: what`
-- @treturn number how many functions were looked at
function doc_scan.scan(source)
  local lines, problems, count = lines_of(source), {}, 0
  for position, line in ipairs(lines) do
    local name, arguments = function_at(line)
    if name then
      count = count + 1
      for _, what in ipairs(lacking(lines, position, arguments)) do
        problems[#problems + 1] = position .. ": " .. name .. ": " .. what
      end
    end
  end
  return problems, count
end

return doc_scan
