--- The parts of a request target: path, segments and query.
-- @module websockets.http.uri
local uri = {}

local char, find, gsub, sub = string.char, string.find, string.gsub, string.sub

local function byte_of(digits) return char(tonumber(digits, 16)) end

--- Splits a target into path and query.
-- @rfc 3986 3.3, 3.4
-- @tparam string target
-- @treturn string path, not decoded
-- @treturn string query without its question mark, not decoded
function uri.split(target)
  local mark = find(target, "?", 1, true)
  if not mark then return target, "" end
  return sub(target, 1, mark - 1), sub(target, mark + 1)
end

--- Decodes percent-encoded bytes.
-- @rfc 3986 2.1
-- @tparam string text
-- @treturn ?string nil if a percent sign has no two digits, or a zero byte is encoded
function uri.decode(text)
  if not find(text, "%", 1, true) then return text end
  if find(gsub(text, "%%%x%x", ""), "%", 1, true) or find(text, "%00", 1, true) then return nil end
  return (gsub(text, "%%(%x%x)", byte_of))
end

--- Splits a path at its slashes and decodes each part, so that an encoded slash is no slash.
-- @rfc 3986 3.3
-- @tparam string path
-- @treturn[1] {string,...} segments; the last is "" if the path ends with a slash
-- @treturn[2] nil the path does not begin with a slash, is badly encoded, or has a segment "." or ".."
function uri.segments(path)
  if sub(path, 1, 1) ~= "/" then return nil end
  local segments, count, from = {}, 0, 2
  while true do
    local slash = find(path, "/", from, true)
    local segment = uri.decode(sub(path, from, (slash or 0) - 1))
    if not segment or segment == "." or segment == ".." then return nil end
    count = count + 1
    segments[count] = segment
    if not slash then return segments end
    from = slash + 1
  end
end

-- In forms a plus is a space; a percent sign without two digits stands for itself.
local function decode_form(text)
  return (gsub(gsub(text, "%+", " "), "%%(%x%x)", byte_of))
end

--- Reads a query, as HTML forms write it.
-- @tparam string query without its question mark
-- @treturn table name -> first value of that name
-- @treturn {{string,string},...} all pairs of name and value, in order
function uri.read_query(query)
  local first, list = {}, {}
  for piece in query:gmatch("[^&]+") do
    local mark = find(piece, "=", 1, true)
    local name = decode_form(mark and sub(piece, 1, mark - 1) or piece)
    local value = mark and decode_form(sub(piece, mark + 1)) or ""
    list[#list + 1] = { name, value }
    if first[name] == nil then first[name] = value end
  end
  return first, list
end

return uri
