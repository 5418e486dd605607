--- Every module of the library has its spec at the same place below spec/unit, or is in the list below.
-- @module spec.packaging.mirror_spec

local BOTH = "both engines share one spec"
local SOCKETS = "it does nothing without sockets and a context"

-- The spec that tests a module instead, and why.
local ELSEWHERE = {
  ["context"] = { "behaviour/context", SOCKETS }, ["request"] = { "behaviour/request", SOCKETS },
  ["websocket"] = { "behaviour/websocket", SOCKETS }, ["client/dial"] = { "behaviour/client", SOCKETS },
  ["connection/connection"] = { "behaviour/connection", SOCKETS },
  ["connection/descriptor"] = { "behaviour/descriptor", SOCKETS },
  ["connection/group"] = { "behaviour/group", SOCKETS }, ["connection/keepalive"] = { "behaviour/keepalive", SOCKETS },
  ["connection/transitions"] = { "unit/connection/lifecycle", "the lifecycle follows it" },
  ["server/endpoint"] = { "behaviour/listener", SOCKETS },
  ["turn/recovery"] = { "unit/turn/delivery", "delivery goes on by it" },
  ["server/exchange"] = { "behaviour/exchange", SOCKETS }, ["server/listener"] = { "behaviour/listener", SOCKETS },
  ["server/response"] = { "behaviour/response", SOCKETS }, ["server/upgrade"] = { "behaviour/upgrade", SOCKETS },
  ["turn/relief"] = { "behaviour/relief", SOCKETS }, ["turn/turn"] = { "behaviour/turn", SOCKETS },
  ["engine/native"] = { "unit/engine/engine", BOTH }, ["engine/pure"] = { "unit/engine/engine", BOTH },
  ["engine/pure/base64"] = { "unit/engine/engine", BOTH }, ["engine/pure/deflate"] = { "unit/engine/deflate", BOTH },
  ["engine/pure/message"] = { "unit/engine/budget", BOTH }, ["engine/pure/reader"] = { "unit/engine/reader", BOTH },
  ["engine/pure/writer"] = { "unit/engine/engine", BOTH }, ["wire/native"] = { "unit/wire/differential", BOTH },
}

local function set(list)
  local made = {}
  for _, value in ipairs(list) do made[value] = true end
  return made
end

-- What is missing or too much: `modules` by their path below lua/websockets, `specs` by theirs below spec, both
-- without ending.
local function problems(modules, specs, elsewhere)
  local is_module, is_spec, found = set(modules), set(specs), {}
  local function tell(...) found[#found + 1] = string.format(...) end
  for _, module in ipairs(modules) do
    local other, has_own = elsewhere[module], is_spec["unit/" .. module]
    if not has_own and not other then tell("%s has no spec spec/unit/%s_spec.lua", module, module) end
    if has_own and other then tell("%s has a spec of its own and is in the list", module) end
  end
  for module, other in pairs(elsewhere) do
    if not is_module[module] then tell("%s is in the list and is no module", module) end
    if not is_spec[other[1]] then tell("%s is tested by spec/%s_spec.lua, which is not there", module, other[1]) end
  end
  local folders = {}
  for _, module in ipairs(modules) do folders[module:match("^(.*/)") or ""] = true end
  for _, spec in ipairs(specs) do
    local folder = spec:match("^unit/(.*/)") or spec:match("^unit/") and ""
    if folder and not folders[folder] then tell("spec/unit/%s mirrors no folder of modules", folder) end
  end
  table.sort(found)
  return table.concat(found, "\n")
end

local function paths(folder, ending)
  local list, pipe = {}, assert(io.popen(("find %s -name '*%s'"):format(folder, ending)))
  for path in pipe:lines() do list[#list + 1] = path:sub(#folder + 2, -#ending - 1) end
  pipe:close()
  return list
end

describe("the specs of modules", function()
  it("stand where the modules do", function()
    local modules = paths("lua/websockets", ".lua")
    assert.is_true(#modules > 50)
    assert.equal("", problems(modules, paths("spec", "_spec.lua"), ELSEWHERE))
  end)

  it("are missed where there are none, and where the list names what is not there", function()
    local listed = { ["b/c"] = { "behaviour/c", SOCKETS } }
    local specs = { "unit/a", "behaviour/c" }
    assert.equal("", problems({ "a", "b/c" }, specs, listed))
    assert.equal("d has no spec spec/unit/d_spec.lua", problems({ "a", "b/c", "d" }, specs, listed))
    assert.equal("b/c is in the list and is no module", problems({ "a" }, specs, listed))
    assert.equal("b/c is tested by spec/behaviour/c_spec.lua, which is not there",
      problems({ "a", "b/c" }, { "unit/a" }, listed))
    assert.equal("b/c has a spec of its own and is in the list",
      problems({ "a", "b/c" }, { "unit/a", "unit/b/c", "behaviour/c" }, listed))
    assert.equal("spec/unit/x/ mirrors no folder of modules",
      problems({ "a", "b/c" }, { "unit/a", "behaviour/c", "unit/x/a" }, listed))
  end)
end)
