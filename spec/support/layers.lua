--- The layers of the library, and what breaks their order: an arrow that points up, a cycle, a field of a higher
-- object.
-- @module spec.support.layers
local layers = {}

--- The layers, the highest first. A module may require modules of its own layer and of every lower one.
layers.ORDER = {
  "websocket", "loop", "websockets", "testing", "api", "waiting", "options", "pubsub", "turn", "workers", "server",
  "client", "connection", "protocol", "http", "wire", "poller", "transport", "engine", "errors", "loading", "calendar",
  "histogram",
}

-- Modules beside the folders: what users hold, and the words for errors.
local API = {
  attachment = true,
  blocking = true,
  codec = true,
  context = true,
  creation = true,
  files = true,
  metrics = true,
  operations = true,
  prometheus = true,
  request = true,
  timer = true,
  topics = true,
  websocket = true,
  workers = true,
  writing = true,
}

local LOWEST = { errors = true, loading = true, calendar = true, histogram = true }

-- The layers that modules above the library use, as any program: what users hold, and the words for errors; and what
-- LuaJIT may not compile.
local ABOVE = { websocket = true, loop = true }
local PUBLIC = { websocket = true, loop = true, websockets = true, api = true, errors = true, loading = true }

-- These know bytes, messages and descriptors. The object that owns a connection they hand on without looking into it.
local BLIND = { wire = true, poller = true, transport = true, engine = true }

-- Names under which connections and contexts are known in the layers above.
local HIGHER = { "owner", "ws", "context", "connection" }

-- What a layer below the back planes may ask of one: `websockets.pubsub.in_process` describes it.
local PLANE = {
  subscribe = true, unsubscribe = true, left = true, forget = true, broadcast = true, repair = true, close = true,
}

local function rank(layer)
  for position, name in ipairs(layers.ORDER) do
    if name == layer then return position end
  end
end

--- Names the layer of a module.
-- @tparam string module such as `websockets.http.head`
-- @treturn ?string nil for a module that belongs to no layer
function layers.of(module)
  if module == "websockets" then return module end
  -- The API of 2.x.
  if module == "websocket" or module:find("^websocket%.") then return "websocket" end
  local first, rest = module:match("^websockets%.([%w_]+)(.*)$")
  if not first then return nil end
  if rest == "" and API[first] then return "api" end
  if first == "testing" then return first end
  return rank(first) and (rest ~= "" or LOWEST[first]) and first or nil
end

-- Code without its comments, so that a reference in a docstring is no arrow. The library has no long comments.
local function without_comments(text)
  return (text:gsub("%-%-[^\n]*", ""))
end

--- Lists the modules that a file names in its code: required at once, inside a function, or by name.
-- @tparam string text
-- @treturn {string,...}
function layers.required(text)
  local list = {}
  for module in without_comments(text):gmatch([=[["'](websockets?%.[%w_.]+)["']]=]) do list[#list + 1] = module end
  return list
end

--- Lists the fields of higher objects that a file of a low layer reads, sets or calls.
-- @tparam string text
-- @treturn {string,...} such as `owner.plain`
function layers.higher_fields(text)
  local found = {}
  for _, name in ipairs(HIGHER) do
    for access in without_comments(text):gmatch("%f[%w_]" .. name .. "%s*[.:][%a_][%w_]*") do
      found[#found + 1] = access
    end
  end
  return found
end

--- Lists what a file asks of a back plane that is not among the functions that every back plane has for lower layers.
-- @tparam string text
-- @treturn {string,...} such as `plane.store`
function layers.plane_fields(text)
  local found = {}
  for field in without_comments(text):gmatch("%f[%w_]plane%s*[.:]([%a_][%w_]*)") do
    if not PLANE[field] then found[#found + 1] = "plane." .. field end
  end
  return found
end

--- Lists the back planes that a file reaches through another object than its own.
-- @tparam string text
-- @treturn {string,...} such as `subscriptions.plane`
function layers.stored_planes(text)
  local found = {}
  for owner in without_comments(text):gmatch("([%a_][%w_]*)%.plane%f[^%w_]") do
    if owner ~= "self" then found[#found + 1] = owner .. ".plane" end
  end
  return found
end

--- Lists the names in string and C string literals of Rust code, tests and comments left out.
-- @tparam string text
-- @treturn {string,...}
function layers.rust_names(text)
  local list = {}
  local code = text:gsub("//[^\n]*", ""):gsub("#%[cfg%(test%)%].*$", "")
  for name in code:gmatch('"([%a_][%w_]*)"') do list[#list + 1] = name end
  return list
end

--- Judges the modules of a tree.
-- @tparam table files module -> text
-- @treturn {string,...} what is wrong, sorted
function layers.problems(files)
  local found = {}
  for module, text in pairs(files) do
    local from = layers.of(module)
    if not from then found[#found + 1] = module .. " belongs to no layer" end
    for _, other in ipairs(layers.required(text)) do
      local to = layers.of(other)
      if not files[other] then
        found[#found + 1] = ("%s names %s, which is not there"):format(module, other)
      elseif from and to and rank(to) < rank(from) then
        found[#found + 1] = ("%s requires %s: up from %s to %s"):format(module, other, from, to)
      elseif from and to and ABOVE[from] and not PUBLIC[to] then
        found[#found + 1] = ("%s requires %s, which is not public"):format(module, other)
      end
    end
    if from and rank(from) > rank("pubsub") then
      for _, access in ipairs(layers.plane_fields(text)) do
        found[#found + 1] = ("%s uses %s, which is not for lower layers"):format(module, access)
      end
      for _, access in ipairs(layers.stored_planes(text)) do
        found[#found + 1] = ("%s uses %s, of another object"):format(module, access)
      end
    end
    if BLIND[from] then
      for _, access in ipairs(layers.higher_fields(text)) do
        found[#found + 1] = ("%s uses %s, a field of a higher layer"):format(module, access)
      end
    end
  end
  table.sort(found)
  return found
end

--- Finds a cycle.
-- @tparam table arrows module -> list of modules
-- @treturn ?string the modules of one cycle, in order
function layers.cycle(arrows)
  local state, path = {}, {}
  local function visit(module)
    if state[module] == "done" then return nil end
    path[#path + 1] = module
    if state[module] then return table.concat(path, " -> ") end
    state[module] = "open"
    for _, other in ipairs(arrows[module] or {}) do
      local found = visit(other)
      if found then return found end
    end
    state[module], path[#path] = "done", nil
  end
  for module in pairs(arrows) do
    local found = visit(module)
    if found then return found end
  end
end

return layers
