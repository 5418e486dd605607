--- Makes packages of Lua 5.4 load in 5.5, which forbids assigning to the variable of a loop.
-- @script port
--
-- `lua5.5 port.lua FROM TO < NAMES`: of the files named, those that do not load get loop variables of their own and
-- go from one folder to the other.

local FROM, TO = arg[1], arg[2]

-- The header of a loop that stands in one line, with a local copy of each variable behind its `do`.
local function header(names, rest)
  local copies = names:gsub("[%w_]+", "%0__")
  return ("for %s%s do local %s = %s;"):format(copies, rest, names, copies)
end

local function port(text)
  text = text:gsub("%f[%w_]for%s+([%w_][%w_,%s]*%f[%s=])(%s*=[^\n]-)%s+do%f[^%w_]", header)
  return (text:gsub("%f[%w_]for%s+([%w_][%w_,%s]-)(%s+in%s[^\n]-)%s+do%f[^%w_]", header))
end

for name in io.lines() do
  local from = FROM .. "/" .. name
  if not loadfile(from) then
    local file = assert(io.open(from))
    local text = port(file:read("a"))
    file:close()
    local loaded, why = load(text, "@" .. from)
    if loaded then
      file = assert(io.open(TO .. "/" .. name, "w"))
      file:write(text)
      file:close()
    else
      io.stderr:write(why, "\n")
    end
  end
end
