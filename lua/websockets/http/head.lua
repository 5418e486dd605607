--- Heads of HTTP/1.x messages, without I/O: finding and reading a request head, writing a response head.
-- @module websockets.http.head
local fields = require("websockets.http.fields")

local http = {}

local byte, find, sub, concat = string.byte, string.find, string.sub, table.concat
local has_token = fields.has_token

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

-- The first byte of a request: of its method, or of an empty line before it.
local BEGINNING = "^[" .. fields.TCHARS .. "\r]"

local function clear(scanner)
  scanner.pieces, scanner.count, scanner.size = false, 0, 0
  scanner.line_end, scanner.lines, scanner.skipped = 0, 0, false
  return scanner
end

--- Makes a scanner, which finds one head after the other.
-- @treturn table what `scan` keeps between two pieces
function http.scanner()
  return clear({})
end

-- The last byte that was kept.
local function last_byte(scanner)
  local piece = scanner.pieces and scanner.pieces[scanner.count]
  return piece and byte(piece, -1)
end

local function finish(scanner, bytes, from, position)
  local head = sub(bytes, from, position)
  if scanner.pieces then
    scanner.pieces[scanner.count + 1] = head
    head = concat(scanner.pieces)
  end
  if scanner.size > 0 or scanner.skipped then clear(scanner) end
  return head, position + 1
end

local function keep(scanner, bytes, from)
  if from > #bytes then return end
  scanner.pieces = scanner.pieces or {}
  scanner.count = scanner.count + 1
  scanner.pieces[scanner.count] = from == 1 and bytes or sub(bytes, from)
  scanner.size = scanner.size + #bytes - from + 1
  -- A head that comes byte by byte must not keep one piece for each byte.
  if scanner.count >= MAX_PIECES then
    scanner.pieces = { concat(scanner.pieces) }
    scanner.count = 1
  end
end

--- Looks for the end of a head in the next bytes. It looks at each byte once, however the bytes are cut.
-- @rfc 9112 2.2
-- @tparam table scanner
-- @tparam string bytes
-- @tparam integer from position of the first byte that was not scanned yet
-- @tparam table limits `max_header_bytes`, `max_header_lines`, `max_request_line_bytes`
-- @treturn[1] string head, with its empty line
-- @treturn[1] integer position after it
-- @treturn[2] nil the head is not complete; the bytes are kept
-- @treturn[3] boolean false
-- @treturn[3] integer status 400, 414 or 431
function http.scan(scanner, bytes, from, limits)
  local max_bytes, max_first, max_lines =
    limits.max_header_bytes, limits.max_request_line_bytes, limits.max_header_lines
  local start, next_byte, lines, line_end = from, from, scanner.lines, scanner.line_end
  local size_before = scanner.size - start + 1
  while true do
    local position = find(bytes, "\n", next_byte, true)
    local size = size_before + (position or #bytes)
    if size > max_bytes or lines == 0 and size > max_first then return false, lines == 0 and 414 or 431 end
    if not position then break end
    if (position > start and byte(bytes, position - 1) or last_byte(scanner)) ~= 13 then return false, 400 end
    next_byte = position + 1
    if size - line_end > 2 then
      line_end = size
      lines = lines + 1
      if lines > max_lines + 1 then return false, 431 end
    elseif lines > 0 then
      return finish(scanner, bytes, start, position)
    else
      -- RFC 9112 2.2: one empty line before the request line is ignored.
      if scanner.skipped then return false, 400 end
      scanner.skipped, scanner.pieces, scanner.count, scanner.size = true, false, 0, 0
      start, size_before = next_byte, 1 - next_byte
    end
  end
  if scanner.size == 0 and #bytes >= start and not find(bytes, BEGINNING, start) then
    return false, 400
  end
  scanner.lines, scanner.line_end = lines, line_end
  keep(scanner, bytes, start)
  return nil
end

-- RFC 9112 3.2: origin-form, absolute-form, or * for OPTIONS.
local function read_target(request, target)
  if find(target, "[^\33-\126]") or find(target, "#", 1, true) then return nil end
  if byte(target) ~= 47 then
    local authority, after = target:match("^[hH][tT][tT][pP][sS]?://([^/?]+)()")
    if authority then
      request.authority = authority
      local rest = sub(target, after)
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
  if not major or not fields.is_token(request.method) then return 400 end
  if major ~= "1" then return 505 end
  request.minor = minor == "0" and 0 or 1
  if not read_target(request, sub(line, first + 1, second - 1)) then return 400 end
end

-- RFC 3986 3.2; user information is not allowed.
local NOT_IN_HOST = "[^a-zA-Z0-9%.%-_~:%[%]%%!$&'()*+,;=]"

--- Tells whether a text has only characters of a host and a port.
-- @rfc 3986 3.2
-- @tparam string text of a peer
-- @treturn boolean
function http.is_host(text)
  return not find(text, NOT_IN_HOST)
end

local is_host = http.is_host

-- RFC 9112 3.2: HTTP/1.1 needs one Host; 3.2.2: the host of an absolute target takes precedence.
local function check_host(request)
  local host, authority = request.headers.host, request.authority
  if not host and request.minor == 1 then return 400 end
  if host and not is_host(host) or authority and not is_host(authority) then return 400 end
  if authority then request.headers.host = authority end
end

-- RFC 9112 6.1, 6.3: how the body is delimited; what two readers could understand differently is refused.
local function read_framing(request)
  local headers = request.headers
  local length, coding = headers["content-length"], headers["transfer-encoding"]
  if coding then
    if length or request.minor == 0 then return 400 end
    if coding:lower() ~= "chunked" then return 501 end
    request.chunked = true
  elseif length then
    if not find(length, "^%d+$") then return 400 end
    if #length > 15 then return 413 end
    request.length = tonumber(length)
  end
end

-- RFC 9110 10.1.1. HTTP/1.0 knows no expectations: what it says is ignored.
local function read_expectations(request, value)
  if request.minor == 0 then return end
  for _, expectation in ipairs(fields.elements(value)) do
    if expectation:lower() ~= "100-continue" then return 417 end
    request.awaits_continue = true
  end
end

--- Reads a request head.
-- @rfc 9112 2 to 6
-- @tparam string head as `scan` gave it
-- @tparam ?boolean has_fields whether `fields` is to be filled
-- @treturn[1] table request: `method`, `uri` (path and query), `minor` (HTTP version 1.minor), `headers` (lower-case
-- name -> value, repeated fields joined), `fields` (pairs of name and value), `length` or `chunked` if a body follows,
-- `awaits_continue` (whether the client waits for 100), `keep_alive`
-- @treturn[2] nil
-- @treturn[2] integer status 400, 413, 417, 501 or 505
function http.parse(head, has_fields)
  -- All fields at once: a table is reallocated when it grows.
  local request = {
    method = false, uri = false, authority = false, minor = 0, headers = {}, fields = has_fields and {},
    length = 0, chunked = false, awaits_continue = false, keep_alive = false,
  }
  local line_end = find(head, "\r\n", 1, true)
  local status = read_request_line(request, sub(head, 1, line_end - 1))
    or fields.read(head, line_end + 2, request.headers, request.fields) or check_host(request) or read_framing(request)
  local expect = request.headers.expect
  if expect and not status then status = read_expectations(request, expect) end
  if status then return nil, status end
  local options = request.headers.connection
  -- RFC 9112 9.3
  request.keep_alive = not has_token(options, "close") and (request.minor == 1 or has_token(options, "keep-alive"))
  return request
end

--- The answer that lets a client go on with its request.
-- @rfc 9110 15.2.1
http.CONTINUE = "HTTP/1.1 100 Continue\r\n\r\n"

--- Makes an answer whose body names its status.
-- @tparam integer status
-- @tparam ?table headers further ones; Content-Type is set in it
-- @treturn table answer: `status`, `headers`, `body`
function http.plain_answer(status, headers)
  headers = headers or {}
  headers["Content-Type"] = "text/plain; charset=utf-8"
  return { status = status, headers = headers, body = ("%d %s\n"):format(status, http.REASONS[status] or "Status") }
end

--- Decides whether a connection goes on after an answer, and what the answer says about it.
-- @rfc 9112 9.3
-- @tparam table|boolean request as `parse` gave it; false if it could not be read
-- @tparam boolean is_last whether this side ends the connection after the answer
-- @treturn boolean whether another request may follow
-- @treturn string value of Connection; "" if the version of the request implies it
function http.persistence(request, is_last)
  if is_last or not request or not request.keep_alive then return false, "close" end
  return true, request.minor == 0 and "keep-alive" or ""
end

--- Tells whether a request asks to go on with another protocol.
-- @rfc 9110 7.8
-- @rfc 6455 4.2.1
-- @tparam table request
-- @tparam string protocol in lower case
-- @treturn boolean
function http.asks_for(request, protocol)
  return request.minor == 1 and fields.has_token(request.headers.upgrade, protocol)
end

--- Writes a response head.
-- @tparam integer status 100 to 599
-- @tparam ?table headers name -> value or list of values, already checked
-- @tparam ?integer length for Content-Length, nil for none
-- @tparam string connection `close`, `keep-alive`, or "" for neither
-- @tparam ?string date for Date
-- @treturn string bytes, with the last empty line
function http.response_head(status, headers, length, connection, date)
  local lines = { ("HTTP/1.1 %d %s"):format(status, http.REASONS[status] or "Status") }
  fields.write(lines, headers)
  if date then lines[#lines + 1] = "Date: " .. date end
  if length then lines[#lines + 1] = ("Content-Length: %.0f"):format(length) end
  if connection ~= "" then lines[#lines + 1] = "Connection: " .. connection end
  lines[#lines + 1] = "\r\n"
  return concat(lines, "\r\n")
end

return http
