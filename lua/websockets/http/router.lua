--- Finds the most specific route of a path.
-- @classmod websockets.http.router
local uri = require("websockets.http.uri")

local router = {}
router.__index = router

local function new_node() return { static = {}, param = false, route = false, wildcard = false } end

--- Splits a pattern: `/chat/:room`, `/static/*`.
-- @tparam string pattern
-- @treturn[1] {string,...} segments, ":" for a parameter, "*" for all that follows
-- @treturn[1] {string,...} names of the parameters, in order
-- @treturn[2] nil
-- @treturn[2] string what is wrong
function router.read_pattern(pattern)
  if pattern:sub(1, 1) ~= "/" then return nil, "must begin with a slash" end
  if pattern:find("[?#%z\1-\32\127]") then return nil, "must be a path" end
  local segments, names, seen = {}, {}, {}
  for part in (pattern:sub(2) .. "/"):gmatch("([^/]*)/") do
    local segment = part
    if segments[#segments] == "*" then return nil, "may have '*' at its end only" end
    if segment:sub(1, 1) == ":" then
      local name = segment:sub(2)
      if not name:find("^[%a_][%w_]*$") then return nil, "needs a name after ':'" end
      if seen[name] then return nil, ("has '%s' twice"):format(name) end
      seen[name] = true
      names[#names + 1] = name
      segment = ":"
    elseif segment ~= "*" and segment:find("*", 1, true) then
      return nil, "may have '*' at its end only"
    elseif segment == "." or segment == ".." then
      return nil, "must not have '.' or '..' segments"
    end
    segments[#segments + 1] = segment
  end
  return segments, names
end

local function child_of(node, segment)
  if segment == ":" then
    node.param = node.param or new_node()
    return node.param
  end
  node.static[segment] = node.static[segment] or new_node()
  return node.static[segment]
end

--- Makes a router without routes.
-- @treturn router
function router.new()
  return setmetatable({ root = new_node(), added = {} }, router)
end

--- Adds a route.
-- @tparam string pattern decoded static segments, `:name` for one segment, `*` for all that follows
-- @tparam table settings what `match` gives
-- @treturn[1] boolean true
-- @treturn[2] nil
-- @treturn[2] string what is wrong with the pattern
function router:add(pattern, settings)
  local segments, names = router.read_pattern(pattern)
  if not segments then return nil, names end
  local node, kind = self.root, "route"
  for _, segment in ipairs(segments) do
    if segment == "*" then
      kind = "wildcard"
    else
      node = child_of(node, segment)
    end
  end
  if node[kind] then return nil, ("means the same paths as '%s'"):format(node[kind].pattern) end
  self.added[#self.added + 1] = settings
  node[kind] = { pattern = pattern, names = names, settings = settings }
  return true
end

-- No deeper than the longest pattern, and no node twice: the routes bound the cost, not the peer.
local function walk(node, segments, at, values)
  local segment = segments[at]
  if not segment then return node.route, at end
  local child = node.static[segment]
  if child then
    local found, rest = walk(child, segments, at + 1, values)
    if found then return found, rest end
  end
  child = segment ~= "" and node.param
  if child then
    values[#values + 1] = segment
    local found, rest = walk(child, segments, at + 1, values)
    if found then return found, rest end
    values[#values] = nil
  end
  return node.wildcard, at
end

-- The path from the slash before a segment on, not decoded.
local function path_from(path, segment)
  local position = 1
  for _ = 2, segment do position = path:find("/", position + 1, true) end
  return path:sub(position)
end

--- Finds the route of a path. In each segment a static name comes before a parameter, a parameter before `*`.
-- @tparam string path not decoded
-- @treturn[1] table `settings`, `pattern`, `params` (name -> decoded value; `*`: all that follows), `rest` (what `*`
-- stands for, not decoded, with its slash)
-- @treturn[2] nil there is no route
-- @treturn[3] boolean false: the path is badly encoded, or has a segment "." or ".."
function router:match(path)
  if path:sub(1, 1) ~= "/" then return nil end
  local segments = uri.segments(path)
  if not segments then return false end
  local values = {}
  local route, at = walk(self.root, segments, 1, values)
  if not route then return nil end
  local params, rest = {}, nil
  for i, name in ipairs(route.names) do params[name] = values[i] end
  if route.pattern:sub(-1) == "*" then
    params["*"] = table.concat(segments, "/", at)
    rest = path_from(path, at)
  end
  return { settings = route.settings, params = params, rest = rest, pattern = route.pattern }
end

return router
