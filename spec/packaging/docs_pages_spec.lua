--- The pages of the documentation are complete: every link leads somewhere, every public name is told, and the limits
-- have the defaults that the code has.
-- @module spec.packaging.docs_pages_spec

local markdown = require "spec.support.markdown"
local websockets = require "websockets"

local MAX_README_LINES = 155
local OTHER_PAGES = { "CHANGELOG.md", "bench/RESULTS.md" }
local PAGES = markdown.pages()
local LIMITS = "docs/limits.md"
-- Not for users, though they stand in the same table.
local INTERNAL = { ["context:new"] = true, ["request:of"] = true, ["blocking:connect"] = true,
  ["attachment:attach"] = true, ["peer:new"] = true, ["server:new"] = true, ["server:work"] = true,
  ["attachment:selectable"] = true, }
local OBJECTS = {
  context = "websockets.context", ws = "websockets.websocket", request = "websockets.request",
  blocking = "websockets.blocking", attachment = "websockets.attachment", testing = "websockets.testing",
  peer = "websockets.testing.peer", server = "websockets.testing.server",
}
-- A client for scripts is called `ws` too, a context of a test `context`.
local ALSO = { ws = "websockets.blocking", context = "websockets.testing" }
local MIB, KIB = 1024 * 1024, 1024

local everything, ours = {}, {}
for i, page in ipairs(PAGES) do
  everything[i] = markdown.read(page)
  -- Methods of the API of 2.x have names of their own.
  ours[i] = page == "docs/from-2x.md" and "" or everything[i]
end
everything, ours = table.concat(everything, "\n"), table.concat(ours, "\n")

local context_options = require "websockets.options.context"
local file_options = require("websockets.options.files").KNOWN
local connect_options = require("websockets.options.connect").KNOWN

local function missing(names)
  table.sort(names)
  local absent = {}
  for _, name in ipairs(names) do
    -- A name in code, whatever stands around it there.
    local pattern = "`[^`\n]*%f[%w_]" .. name:gsub("%p", "%%%0") .. "%f[^%w_][^`\n]*`"
    if not everything:find(pattern) then absent[#absent + 1] = name end
  end
  return absent
end

local function methods_of(object)
  local names = {}
  for name, value in pairs(require(OBJECTS[object])) do
    if type(value) == "function" and name:sub(1, 2) ~= "__" and not INTERNAL[object .. ":" .. name] then
      names[#names + 1] = name
    end
  end
  return names
end

local function names_of(...)
  local names = {}
  for _, map in ipairs({ ... }) do
    for name in pairs(map) do names[#names + 1] = name end
  end
  return names
end

-- The options inside `compression`, out of what an error tells about it.
local function compression_options()
  local known, names = context_options.KNOWN.compression, {}
  for word in known.expected:gmatch("[%l_]+") do
    if known.check({ [word] = 9 }) or known.check({ [word] = true }) then names[#names + 1] = word end
  end
  return names
end

local function as_text(name, default)
  if default == false then return "off" end
  if default == math.huge then return "none" end
  if type(default) == "string" then return ('`"%s"`'):format(default) end
  if name:find("_timeout$") or name:find("_interval$") then return ("%d s"):format(default) end
  if name:find("_bytes$") and default % KIB > 0 then return ("%d bytes"):format(default) end
  if name:find("_bytes$") and default % MIB == 0 then return ("%d MiB"):format(default / MIB) end
  if name:find("_bytes$") then return ("%d KiB"):format(default / KIB) end
  return (("%d"):format(default):gsub("^(%d+)(%d%d%d)$", "%1,%2"))
end

local function is_limit(name)
  return name:find("^max_") or name:find("_timeout$") or name:find("_interval$") or name:find("_bytes$")
    or name == "slow_consumer"
end

local function is_for_routes(name, value)
  local is_made, made = pcall(websockets.context, { routes = { ["/x"] = { [name] = value } } })
  if is_made then made:destroy() end
  return is_made or not made:find("no route can have its own", 1, true)
end

-- Rows of a table whose first cell is one name in code, by that name.
local function rows_by_name(path)
  local rows = {}
  for _, row in ipairs(markdown.rows(markdown.read(path))) do
    local name = row[1]:match("^`([%w_]+)`$")
    if name then rows[name] = row end
  end
  return rows
end

local function broken_links(page)
  local broken, folder = {}, page:match("^.*/") or ""
  for _, target in ipairs(markdown.links(markdown.read(page))) do
    if not target:find("^%a+:") then
      local path, anchor = target:match("^([^#]*)#?(.*)$")
      local file = path == "" and page or (folder .. path):gsub("[^/]+/%.%./", "")
      local text = markdown.read(file)
      if not text or (anchor ~= "" and not markdown.anchors(text)[anchor]) then broken[#broken + 1] = target end
    end
  end
  return broken
end

describe("the documentation", function()
  it("has a short README", function()
    local _, lines = markdown.read("README.md"):gsub("\n", "\n")
    assert.is_true(lines <= MAX_README_LINES, lines .. " lines")
  end)

  it("is linked from README, page by page", function()
    local linked = {}
    for _, target in ipairs(markdown.links(markdown.read("README.md"))) do linked[target] = true end
    for i = 2, #PAGES do assert.truthy(linked[PAGES[i]], PAGES[i]) end
    assert.is_true(#PAGES > 10)
  end)

  for _, list in ipairs({ PAGES, OTHER_PAGES }) do
    for _, path in ipairs(list) do
      it("has no broken link in " .. path, function() assert.same({}, broken_links(path)) end)
    end
  end

  for object in pairs(OBJECTS) do
    it("names every method of " .. object, function()
      local names = methods_of(object)
      assert.is_true(#names > 2)
      assert.same({}, missing(names))
    end)
  end

  it("names everything that the module has", function()
    assert.same({}, missing(names_of(websockets)))
  end)

  it("names every option", function()
    assert.same({}, missing(names_of(context_options.KNOWN, context_options.ALIASES, context_options.UNAVAILABLE)))
    assert.same({}, missing(names_of(connect_options)))
    for _, names in ipairs({ compression_options(), names_of(file_options) }) do
      assert.is_true(#names > 4)
      assert.same({}, missing(names))
    end
  end)

  it("names no method that does not exist", function()
    for object, module in pairs(OBJECTS) do
      for name in ours:gmatch("%f[%w_]" .. object .. ":([%l_]+)") do
        assert.is_function(require(ALSO[object] or module)[name], object .. ":" .. name)
      end
    end
    for name in everything:gmatch("[^/%w_]websockets%.([%a_.]*[%a_])") do
      local file = "lua/websockets/" .. name:gsub("%.", "/") .. ".lua"
      assert.is_true(websockets[name] ~= nil or markdown.read(file) ~= nil, "websockets." .. name)
    end
  end)

  it("tells every limit with its default", function()
    local rows, count = rows_by_name(LIMITS), 0
    for name, known in pairs(context_options.KNOWN) do
      if is_limit(name) then
        count = count + 1
        assert.same({ name, as_text(name, known.default) }, { name, rows[name] and rows[name][2] })
      end
    end
    assert.is_true(count > 20)
  end)

  it("tells which limits a route and a connection of our own may have", function()
    for name, row in pairs(rows_by_name(LIMITS)) do
      local words = {}
      if is_for_routes(name, context_options.KNOWN[name].default) then words[#words + 1] = "route" end
      if connect_options[name] then words[#words + 1] = "connect" end
      assert.same({ name, table.concat(words, ", ") }, { name, row[4] })
    end
  end)

  it("tells every error word, and no other", function()
    local told, words = {}, {}
    for word in pairs(rows_by_name("docs/errors.md")) do
      if not tonumber(word) then told[#told + 1] = word end
    end
    for word in pairs(require("websockets.errors").WORDS) do words[#words + 1] = word end
    table.sort(told)
    table.sort(words)
    assert.same(words, told)
  end)
end)
