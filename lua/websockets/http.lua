--- HTTP/1.x messages without I/O: finding and reading a request head, writing a response head.
-- @module websockets.http
local http = {}

local byte, find, sub, lower, concat = string.byte, string.find, string.sub, string.lower, table.concat

--- The reason phrase of each status that this library sends.
http.REASONS = {
  [100] = "Continue", [101] = "Switching Protocols", [200] = "OK", [201] = "Created", [202] = "Accepted",
  [204] = "No Content", [206] = "Partial Content", [301] = "Moved Permanently", [302] = "Found", [303] = "See Other",
  [304] = "Not Modified", [307] = "Temporary Redirect", [308] = "Permanent Redirect", [400] = "Bad Request",
  [401] = "Unauthorized", [403] = "Forbidden", [404] = "Not Found", [405] = "Method Not Allowed",
  [406] = "Not Acceptable", [408] = "Request Timeout", [409] = "Conflict", [410] = "Gone", [411] = "Length Required",
  [412] = "Precondition Failed", [413] = "Content Too Large", [414] = "URI Too Long", [415] = "Unsupported Media Type",
  [416] = "Range Not Satisfiable", [417] = "Expectation Failed", [422] = "Unprocessable Content",
  [426] = "Upgrade Required", [429] = "Too Many Requests", [431] = "Request Header Fields Too Large",
  [500] = "Internal Server Error", [501] = "Not Implemented", [502] = "Bad Gateway", [503] = "Service Unavailable",
  [504] = "Gateway Timeout", [505] = "HTTP Version Not Supported",
}

local MAX_PIECES = 256

local TOKEN = "^[!#$%%&'*+%-.^_`|~%w]+$"

--- Tells whether a string is a token.
-- @rfc 9110 5.6.2
-- @tparam string text
-- @treturn boolean
function http.is_token(text)
  return find(text, TOKEN) ~= nil
end

--- Starts looking for the end of a head.
-- @treturn table scanner: what `scan` keeps between two pieces
function http.scanner()
  return { pieces = false, count = 0, size = 0, line_end = 0, lines = 0, skipped = false }
end

local function over_limit(scanner, size, limits)
  if scanner.lines == 0 and size > limits.max_request_line_bytes then return 414 end
  if size > limits.max_header_bytes then return scanner.lines == 0 and 414 or 431 end
end

local function previous_byte(scanner, bytes, position, from)
  if position > from then return byte(bytes, position - 1) end
  local piece = scanner.pieces and scanner.pieces[scanner.count]
  return piece and byte(piece, -1)
end

local function finish(scanner, bytes, from, position)
  local head = sub(bytes, from, position)
  if scanner.pieces then
    scanner.pieces[scanner.count + 1] = head
    head = concat(scanner.pieces)
  end
  return head, position + 1
end

local function keep(scanner, bytes, from)
  if from > #bytes then return end
  scanner.pieces = scanner.pieces or {}
  scanner.count = scanner.count + 1
  scanner.pieces[scanner.count] = from == 1 and bytes or sub(bytes, from)
  scanner.size = scanner.size + #bytes - from + 1
  -- A head that comes byte by byte must not keep a place for each.
  if scanner.count >= MAX_PIECES then
    scanner.pieces = { concat(scanner.pieces) }
    scanner.count = 1
  end
end

--- Looks for the end of a head in the bytes that have come, each byte once however they are cut.
-- @rfc 9112 2.2
-- @tparam table scanner
-- @tparam string bytes
-- @tparam integer from position of the first byte not scanned yet
-- @tparam table limits `max_header_bytes`, `max_header_lines`, `max_request_line_bytes`
-- @treturn[1] string head, with its last empty line
-- @treturn[1] integer position behind it
-- @treturn[2] nil more is needed; the bytes are kept
-- @treturn[3] boolean false
-- @treturn[3] integer status 400, 414 or 431
function http.scan(scanner, bytes, from, limits)
  local start, before = from, from
  while true do
    local position = find(bytes, "\n", before, true)
    local size = scanner.size + (position or #bytes) - start + 1
    local status = over_limit(scanner, size, limits)
    if status then return false, status end
    if not position then break end
    if previous_byte(scanner, bytes, position, start) ~= 13 then return false, 400 end
    before = position + 1
    if size - scanner.line_end == 2 then
      if scanner.lines > 0 then return finish(scanner, bytes, start, position) end
      -- RFC 9112 2.2: one empty line before the request line is passed over.
      if scanner.skipped then return false, 400 end
      scanner.skipped, scanner.pieces, scanner.count, scanner.size = true, false, 0, 0
      start = before
    else
      scanner.line_end = size
      scanner.lines = scanner.lines + 1
      if scanner.lines > limits.max_header_lines + 1 then return false, 431 end
    end
  end
  if scanner.size == 0 and #bytes >= start and not find(bytes, "^[!#$%%&'*+%-.^_`|~%w\r]", start) then
    return false, 400
  end
  keep(scanner, bytes, start)
  return nil
end

-- RFC 9112 3.2: origin-form, absolute-form, or * for OPTIONS.
local function read_target(request, target)
  if find(target, "[^\33-\126]") or find(target, "#", 1, true) then return nil end
  if byte(target) ~= 47 then
    local authority, behind = target:match("^[hH][tT][tT][pP][sS]?://([^/?]+)()")
    if authority then
      request.authority = authority
      local rest = sub(target, behind)
      target = byte(rest) == 47 and rest or "/" .. rest
    elseif not (target == "*" and request.method == "OPTIONS") then
      return nil
    end
  end
  request.uri = target
  return true
end

-- RFC 9112 3
local function read_request_line(request, line)
  local first = find(line, " ", 1, true)
  local second = first and find(line, " ", first + 1, true)
  if not second then return 400 end
  request.method = sub(line, 1, first - 1)
  local major, minor = sub(line, second + 1):match("^HTTP/(%d)%.(%d)$")
  if not major or not http.is_token(request.method) then return 400 end
  if major ~= "1" then return 505 end
  request.minor = minor == "0" and 0 or 1
  if not read_target(request, sub(line, first + 1, second - 1)) then return 400 end
end

local JOINED_BY = { cookie = "; " }

-- RFC 9112 5, 9110 5.5: no folding, no space before the colon, no control characters.
local function read_field(request, line)
  local colon = find(line, ":", 1, true)
  if not colon then return 400 end
  local name = sub(line, 1, colon - 1)
  if not http.is_token(name) then return 400 end
  local from = find(line, "[^ \t]", colon + 1)
  local value = ""
  if from then
    local upto = #line
    while byte(line, upto) == 32 or byte(line, upto) == 9 do upto = upto - 1 end
    value = sub(line, from, upto)
    if find(value, "[%z\1-\8\10-\31\127]") then return 400 end
  end
  name = lower(name)
  local headers, fields = request.headers, request.fields
  fields[#fields + 1] = name
  fields[#fields + 1] = value
  local known = headers[name]
  headers[name] = known and known .. (JOINED_BY[name] or ", ") .. value or value
  if known and (name == "host" or name == "content-length" or name == "transfer-encoding") then return 400 end
end

-- RFC 3986 3.2, without user information.
local NOT_IN_HOST = "[^%w%.%-_~:%[%]%%!$&'()*+,;=]"

-- RFC 9112 3.2: exactly one Host in HTTP/1.1; 3.2.2: the one in the target counts more.
local function check_host(request)
  local host, authority = request.headers.host, request.authority
  if not host and request.minor == 1 then return 400 end
  if find(host or "", NOT_IN_HOST) or find(authority or "", NOT_IN_HOST) then return 400 end
  request.headers.host = authority or host
end

-- RFC 9112 6.1, 6.3: where the body ends; whatever two readers could see differently is refused.
local function read_framing(request)
  local headers = request.headers
  local length, coding = headers["content-length"], headers["transfer-encoding"]
  if coding then
    if length or request.minor == 0 then return 400 end
    if lower(coding) ~= "chunked" then return 501 end
    request.chunked = true
  elseif length then
    if not find(length, "^%d+$") then return 400 end
    if #length > 15 then return 413 end
    request.length = tonumber(length)
  end
end

local function has_token(value, token)
  if not value then return false end
  for word in value:gmatch("[^,]+") do
    if lower(word:match("^[ \t]*([^ \t]*)")) == token and find(word, "^[ \t]*[^ \t]+[ \t]*$") then return true end
  end
  return false
end

--- Tells whether a list-valued field holds a token, whatever its case.
-- @tparam ?string value of the field
-- @tparam string token in lower case
-- @treturn boolean
http.has_token = has_token

--- Reads the field lines of a head.
-- @rfc 9112 5
-- @tparam table message `headers` and `fields` are filled, see `parse`
-- @tparam string head
-- @tparam integer from position of the first field line
-- @treturn ?integer status 400 where one is wrong
function http.read_fields(message, head, from)
  while true do
    local line_end = find(head, "\r\n", from, true)
    if line_end == from then return nil end
    local status = read_field(message, sub(head, from, line_end - 1))
    if status then return status end
    from = line_end + 2
  end
end

--- Reads a request head.
-- @rfc 9112 2 to 6
-- @tparam string head as `scan` gave it
-- @treturn[1] table request: `method`, `uri` (path and query), `minor` (HTTP version 1.minor), `headers` (lower-case
-- name -> value, repeats joined), `fields` (name, value, name, value …), `length` or `chunked` where a body follows,
-- `keep_alive`
-- @treturn[2] nil
-- @treturn[2] integer status 400, 413, 501 or 505
function http.parse(head)
  local request = { headers = {}, fields = {}, length = 0, chunked = false }
  local line_end = find(head, "\r\n", 1, true)
  local status = read_request_line(request, sub(head, 1, line_end - 1))
    or http.read_fields(request, head, line_end + 2) or check_host(request) or read_framing(request)
  if status then return nil, status end
  local connection = request.headers.connection
  if request.minor == 1 then
    request.keep_alive = not has_token(connection, "close")
  else
    request.keep_alive = has_token(connection, "keep-alive") and not has_token(connection, "close")
  end
  return request
end

--- Writes a response head.
-- @tparam integer status 100 to 599
-- @tparam ?table headers name -> value or list of values; trusted here
-- @tparam ?integer length for Content-Length, nil for none
-- @tparam string connection `close`, `keep-alive`, or "" for neither
-- @tparam ?string date for Date
-- @treturn string bytes, with the last empty line
function http.response_head(status, headers, length, connection, date)
  local lines = { ("HTTP/1.1 %d %s"):format(status, http.REASONS[status] or "Status") }
  for name, value in pairs(headers or {}) do
    if type(value) == "table" then
      for _, one in ipairs(value) do lines[#lines + 1] = name .. ": " .. one end
    else
      lines[#lines + 1] = name .. ": " .. value
    end
  end
  if date then lines[#lines + 1] = "Date: " .. date end
  if length then lines[#lines + 1] = ("Content-Length: %.0f"):format(length) end
  if connection ~= "" then lines[#lines + 1] = "Connection: " .. connection end
  lines[#lines + 1] = "\r\n"
  return concat(lines, "\r\n")
end

return http
