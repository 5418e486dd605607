--- The names that the library promises by having them: each has to have a row in the contract.
-- @module spec.support.promises

local promises = {}

local SEED_ROWS = 41

-- Made and used by the library itself, not by its users.
local INTERNAL = {
  ["context:new"] = true, ["request:of"] = true, ["timer:after"] = true, ["timer:every"] = true,
  ["attachment:attach"] = true, ["blocking:connect"] = true, ["peer:new"] = true, ["server:new"] = true,
  ["server:work"] = true, ["attachment:selectable"] = true,
}

local function add(list, areas, name)
  list[#list + 1] = { areas = areas, name = name }
end

local function sorted_keys(map)
  local keys = {}
  for key in pairs(map) do keys[#keys + 1] = key end
  table.sort(keys)
  return keys
end

--- Names the public methods of a class.
-- @tparam string name what an object of it is called
-- @tparam table class
-- @treturn {table,...} `areas` (those of the contract where a row counts) and `name`
function promises.of_class(name, class)
  local list = {}
  for _, key in ipairs(sorted_keys(class)) do
    local full = name .. ":" .. key
    if type(class[key]) == "function" and not key:find("^__") and not INTERNAL[full] then
      add(list, { "method" }, full)
    end
  end
  return list
end

--- Names what the module has: everything by its own name, the constants by group.
-- @tparam table module
-- @treturn {table,...} as `of_class`
function promises.of_module(module)
  local list, groups = {}, {}
  for _, key in ipairs(sorted_keys(module)) do
    local group = key:match("^POLL") or key:match("^%u+")
    if not group then
      add(list, { "method" }, key)
    elseif not groups[group] then
      groups[group] = true
      add(list, { "constant" }, group)
    end
  end
  return list
end

--- Names the options, those that are known by name only too.
-- @tparam table options `KNOWN` and `UNAVAILABLE`
-- @treturn {table,...} as `of_class`
function promises.of_options(options)
  local list = {}
  for _, names in ipairs({ options.KNOWN, options.UNAVAILABLE }) do
    for _, name in ipairs(sorted_keys(names)) do add(list, { "option", "limit" }, name) end
  end
  return list
end

--- Names everything that is promised.
-- @treturn {table,...} as `of_class`
function promises.all()
  local parts = {
    promises.of_module(require("websockets")),
    promises.of_class("context", require("websockets.context")),
    promises.of_class("ws", require("websockets.websocket")),
    promises.of_class("request", require("websockets.request")),
    promises.of_class("timer", require("websockets.timer")),
    promises.of_class("attachment", require("websockets.attachment")),
    promises.of_class("blocking", require("websockets.blocking")),
    promises.of_class("testing", require("websockets.testing")),
    promises.of_class("peer", require("websockets.testing.peer")),
    promises.of_class("server", require("websockets.testing.server")),
    promises.of_options(require("websockets.options.context")),
  }
  local list = {}
  for _, part in ipairs(parts) do
    for _, promise in ipairs(part) do list[#list + 1] = promise end
  end
  for row = 1, SEED_ROWS do add(list, { "seed" }, tostring(row)) end
  return list
end

return promises
