--- docs/architecture.md says what is so: its files are there, its layers are those that are checked, and each rule is
-- marked where the page says that it is enforced.
-- @module spec.packaging.architecture_spec

local layers = require "spec.support.layers"
local markdown = require "spec.support.markdown"

local PAGE = "docs/architecture.md"
local RULES = "\n## Where each rule is enforced\n"

local text = markdown.read(PAGE)

-- The page names modules by their path below lua/websockets.
local function resolve(name)
  for _, path in ipairs({ name, "lua/websockets/" .. name }) do
    if markdown.read(path) then return path end
  end
end

local function files_in(part)
  local names = {}
  for name in part:gmatch("`([%w_/]+%.%l+)`") do
    if name:find("%.lua$") or name:find("%.rs$") then names[#names + 1] = name end
  end
  return names
end

-- As the command on the page: by the number of the standard, or at the beginning of a comment.
local function is_marked(source, standard, section)
  section = section:gsub("%.", "%%.") .. "%f[%D]"
  for line in source:lower():gmatch("[^\n]+") do
    if line:find("rfc " .. standard .. ".* " .. section) or line:find("// " .. section)
      or line:find("%-%- " .. section) then
      return true
    end
  end
  return false
end

-- Lists the rules: `standard`, `sections`, `files`. A row without a standard is of the one before.
local function rules()
  local list, standard = {}, nil
  for _, row in ipairs(markdown.rows(text:sub((text:find(RULES, 1, true))))) do
    local named, numbers = row[1]:match("^RFC (%d+) ([%d., ]+):")
    numbers = numbers or row[1]:match("^([%d., ]+):")
    standard = named or standard
    if numbers then
      local rule = { title = row[1], standard = standard, sections = {}, files = files_in(table.concat(row, " ", 2)) }
      for section in numbers:gmatch("[%d.]+") do rule.sections[#rule.sections + 1] = section end
      list[#list + 1] = rule
    end
  end
  return list
end

describe("docs/architecture.md", function()
  it("names no file that is not there", function()
    local names = files_in(text)
    assert.is_true(#names > 50)
    for _, name in ipairs(names) do assert.is_string(resolve(name), name) end
  end)

  it("has the layers that are checked, in their order", function()
    local named = { (text:match("\n| `lua/websocket.lua`, `lua/(%l+)/` |")) }
    for name in text:gmatch("\n| `(%l+)/` |") do
      named[#named + 1] = name
      -- The names that users hold stand in files of their own.
      if name == "loop" then named[3], named[4], named[5] = "websockets", "testing", "api" end
    end
    for _, name in ipairs({ "errors", "loading", "calendar", "histogram" }) do
      named[#named + 1] = text:match("\n| `(" .. name .. ")%.lua` |")
    end
    assert.same(layers.ORDER, named)
  end)

  it("names for each rule the files that are marked with it, and all of its sections", function()
    local list = rules()
    assert.is_true(#list > 25)
    for _, rule in ipairs(list) do
      local found = {}
      assert.is_true(#rule.files > 0, rule.title)
      for _, name in ipairs(rule.files) do
        local source, is_found = markdown.read(resolve(name)), false
        for _, section in ipairs(rule.sections) do
          if is_marked(source, rule.standard, section) then is_found, found[section] = true, true end
        end
        assert.is_true(is_found, ("%s: no mark in %s"):format(rule.title, name))
      end
      for _, section in ipairs(rule.sections) do
        assert.is_true(found[section], ("%s: %s is marked nowhere"):format(rule.title, section))
      end
    end
  end)

  it("finds a mark in both languages, and no other section", function()
    for _, line in ipairs({ "-- @rfc 6455 5.1", "/// RFC 6455 4.2, 5.1", "  // 5.1: x", "  -- 5.1: x",
      "-- RFC 6455 5.1.2" }) do
      assert.is_true(is_marked("a\n" .. line .. "\nb", "6455", "5.1"), line)
    end
    for _, line in ipairs({ "-- @rfc 6455 5.5.1", "-- @rfc 6455 5.11", "-- @rfc 7692 5.1", "x = 5.1", "// 15.1" }) do
      assert.is_false(is_marked(line, "6455", "5.1"), line)
    end
  end)
end)
