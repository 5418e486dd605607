--- LuaJIT compiles no function that goes through a table by `pairs` or `next`: see `loading.interpret`.
-- @module spec.packaging.interpret_spec
local file = require("spec.support.file")

-- Their loops run once, when they are loaded.
local ELSEWHERE = { ["lua/websocket/bit.lua"] = true, ["lua/websockets/protocol/kinds.lua"] = true }

local function goes_through(line)
  line = " " .. line:gsub('"[^"]*"', ""):gsub("%-%-.*", "")
  return line:find("[^%w_.:]pairs%(") or line:find("[^%w_.:]next[%(,]") and not line:find("function next%(")
end

-- What each loop by `pairs` or `next` is in: the function of the module, and whether in another function inside of it.
local function loops_in(text)
  local loops, name, nested = {}, nil, {}
  for line in text:gmatch("([^\n]*)\n") do
    local header = line:match("^local function ([%w_]+)") or line:match("^function ([%w_.:]+)")
    local indent = #line:match("^ *")
    while nested[1] and indent <= nested[#nested] do nested[#nested] = nil end
    if header then name = header:gsub(":", ".") end
    if goes_through(line) then
      local is_inside = nested[1] or not header and line:find("%f[%w]function%f[%W].*pairs%(")
      loops[#loops + 1] = { name = name or "the module", is_inside = is_inside and true or false }
    end
    if not header and line:find("%f[%w]function%f[%W]") and not line:find("%f[%w]end%f[%W]") then
      nested[#nested + 1] = indent
    end
    if line == "end" then name = nil end
  end
  return loops
end

-- What of these LuaJIT may compile.
local function compiled(text)
  local named, list = text:match('\n[%w_."()]+%.interpret%(([%w_.,%s]*)%)\n'), {}
  -- Without names it is about all functions.
  if named == "" then return list end
  local is_named = {}
  for one in (named or ""):gmatch("[%w_.]+") do is_named[one] = true end
  for _, loop in ipairs(loops_in(text)) do
    if loop.is_inside or not is_named[loop.name] then list[#list + 1] = loop.name end
    is_named[loop.name] = is_named[loop.name] and "found"
  end
  for one, what in pairs(is_named) do
    if what == true then list[#list + 1] = one .. " has no loop" end
  end
  return list
end

describe("loops by pairs and next", function()
  it("are found where LuaJIT may compile them", function()
    local loop = "  for name in pairs(list) do print(name) end\n"
    local function of(body, names)
      local call = names and "\nrequire(\"websockets.loading\").interpret(" .. names .. ")\n" or ""
      return compiled("local function walk(list)\n" .. body .. "end\n" .. call .. "\nreturn walk\n")
    end
    assert.same({}, of("  for _, one in ipairs(list) do print(one) end\n"))
    assert.same({ "walk" }, of(loop))
    assert.same({ "walk" }, of("  return next(list) == nil\n"))
    assert.same({ "walk" }, of("  return function()\n  " .. loop .. "  end\n", "walk"))
    assert.same({ "walk" }, of("  for name in next, list do print(name) end\n"))
    assert.same({}, of(loop, "walk"))
    assert.same({}, of(loop, ""))
    assert.same({ "walk has no loop" }, of("  return list\n", "walk"))
  end)

  it("are in no function of the library that LuaJIT may compile", function()
    local pipe, found, count = assert(io.popen("find lua -name '*.lua'")), {}, 0
    for path in pipe:lines() do
      local text = file.read(path)
      count = count + #loops_in(text)
      for _, name in ipairs(ELSEWHERE[path] and {} or compiled(text)) do found[#found + 1] = path .. ": " .. name end
    end
    pipe:close()
    assert.is_true(count > 90, count .. " were found")
    assert.same({}, found)
  end)
end)
