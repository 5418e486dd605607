--- Reads the pages of the documentation: their code, links, headings and tables.
-- @module spec.support.markdown

local child = require "spec.support.child"

local markdown = {}

--- Read a file.
-- @tparam string path
-- @treturn ?string nil where there is none
function markdown.read(path)
  local file = io.open(path, "r")
  local text = file and file:read("*a")
  if file then file:close() end
  return text
end

--- List the pages: README and what is in docs.
-- @treturn {string,...} paths
function markdown.pages()
  local pages = { "README.md" }
  for path in child.run("ls docs/*.md"):gmatch("[^\n]+") do pages[#pages + 1] = path end
  return pages
end

--- Collect the fenced blocks of a page.
-- @tparam string text
-- @treturn table list of `line` (of the fence), `language`, `name` (what follows the language, or nil), `code`
function markdown.blocks(text)
  local blocks, open, number = {}, nil, 0
  for line in (text .. "\n"):gmatch("([^\n]*)\n") do
    number = number + 1
    if open and line == "```" then
      open.code = table.concat(open.lines, "\n") .. "\n"
      open = nil
    elseif open then
      open.lines[#open.lines + 1] = line
    elseif line:find("^```") then
      local language, name = line:match("^```(%w*) ?(.*)$")
      open = { line = number, language = language, name = name ~= "" and name or nil, lines = {} }
      blocks[#blocks + 1] = open
    end
  end
  return blocks
end

-- The text without its code, which may look like links and headings.
local function without_blocks(text)
  return (("\n" .. text):gsub("\n```.-\n```", "\n"))
end

--- Collect the targets of links.
-- @tparam string text
-- @treturn {string,...}
function markdown.links(text)
  local targets = {}
  for target in without_blocks(text):gsub("`[^`\n]*`", "`"):gmatch("%]%(([^)\n]*)%)") do
    targets[#targets + 1] = target
  end
  return targets
end

--- Collect the anchors of headings, as GitHub names them.
-- @tparam string text
-- @treturn table set
function markdown.anchors(text)
  local anchors = {}
  for heading in without_blocks(text):gmatch("\n#+ ([^\n]+)") do
    local anchor = heading:lower():gsub("[^%w%s_-]", ""):gsub("%s", "-")
    anchors[anchor] = true
  end
  return anchors
end

--- Collect the rows of all tables.
-- @tparam string text
-- @treturn table list of lists of cells
function markdown.rows(text)
  local rows = {}
  for line in without_blocks(text):gmatch("[^\n]+") do
    local inner, cells = line:match("^|(.*|)$"), {}
    for cell in (inner or ""):gmatch("([^|]*)|") do cells[#cells + 1] = cell:match("^%s*(.-)%s*$") end
    if inner then rows[#rows + 1] = cells end
  end
  return rows
end

return markdown
