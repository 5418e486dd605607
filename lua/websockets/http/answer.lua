--- Answers to requests of ours, without I/O: finding the head of the final answer, reading it, and what body follows.
-- @classmod websockets.http.answer
local body = require("websockets.http.body")
local fields = require("websockets.http.fields")
local http = require("websockets.http.head")

local answer = {}
answer.__index = answer

local find, match, sub = string.find, string.match, string.sub
local concat, min = table.concat, math.min

local SWITCHING_PROTOCOLS, NO_CONTENT, NOT_MODIFIED = 101, 204, 304
-- Another side could go on with interim answers without end.
local MAX_INTERIM_ANSWERS = 16
-- Of status and reason phrase, which errors and logs repeat.
local MAX_TEXT_BYTES = 200
local BEGINNING = "HTTP/1."

--- Begins to look for the head of an answer.
-- @treturn answer
function answer.new()
  return setmetatable({ scanner = http.scanner(), has_begun = false, interim_count = 0, interim_bytes = 0 }, answer)
end

-- RFC 9112 4
local function read_status(head)
  local minor, text, status = match(head, "^HTTP/1%.(%d) ((%d%d%d)[^\r]*)\r\n")
  if not minor or #text > 3 and sub(text, 4, 4) ~= " " then return nil end
  return tonumber(status), text, tonumber(minor)
end

-- RFC 9110 15.2
local function is_interim(head)
  local status = read_status(head)
  return status ~= nil and status >= 100 and status < 200 and status ~= SWITCHING_PROTOCOLS
end

local function may_go_on(self, head, limits)
  self.interim_count, self.interim_bytes = self.interim_count + 1, self.interim_bytes + #head
  return self.interim_count <= MAX_INTERIM_ANSWERS and self.interim_bytes <= limits.max_header_bytes
end

-- Whether what has come of a head may become one: a server of another protocol may say a line, and then wait or end.
local function may_become_head(self)
  local pieces, count = self.scanner.pieces, self.scanner.count
  if self.has_begun or not pieces then return true end
  local bytes = concat(pieces, "", 1, min(count, #BEGINNING))
  self.has_begun = #bytes >= #BEGINNING
  -- An empty line may come before it.
  return bytes == "\r" or sub(bytes, 1, #BEGINNING) == sub(BEGINNING, 1, #bytes)
end

--- Takes bytes until the head of the final answer is whole; interim answers are passed over.
-- @rfc 9110 15.2
-- @tparam string bytes
-- @tparam table limits as for `http.scan`
-- @treturn[1] string head, with its empty line
-- @treturn[1] integer position after it
-- @treturn[2] nil it is not complete
-- @treturn[3] boolean false
-- @treturn[3] string what is wrong, after "the answer"
function answer:feed(bytes, limits)
  local position = 1
  while position <= #bytes do
    local head, after = http.scan(self.scanner, bytes, position, limits)
    if head == false then return false, after == 400 and "is not HTTP" or "has too long a head" end
    if not head then
      if may_become_head(self) then return nil end
      return false, "is not HTTP"
    end
    self.has_begun = false
    if not is_interim(head) then return head, after end
    if not may_go_on(self, head, limits) then return false, "came after too many interim ones" end
    position = after
  end
end

--- Reads the head of an answer.
-- @rfc 9112 4, 5
-- @tparam string head as `feed` gave it
-- @treturn[1] table `status`; `text`, status and reason phrase, printable, at most 200 bytes; `minor` of the HTTP
-- version; `headers` (lower-case name -> value, repeated fields joined); `fields` (pairs of name and value);
-- `is_malformed`, whether a field line is not HTTP and the fields after it are missing
-- @treturn[2] nil it is not HTTP
function answer.read(head)
  local status, text, minor = read_status(head)
  if not status then return nil end
  local headers, list = {}, {}
  -- RFC 9112 5.2: an old server may fold a field line; a line end with blanks after it stands for a space.
  local lines = sub(head, find(head, "\r\n", 1, true) + 2):gsub("\r\n[ \t]+", " ")
  local fault = fields.read(lines, 1, headers, list)
  text = sub(text, 1, MAX_TEXT_BYTES):gsub("[^\32-\126]", "?")
  return {
    status = status, text = text, minor = minor, headers = headers, fields = list, is_malformed = fault ~= nil,
  }
end

--- Begins to read the body of an answer.
-- @rfc 9112 6.3
-- @tparam table read as `read` gave it
-- @tparam integer max_bytes how much of it is wanted
-- @treturn ?table `websockets.http.body`; nil for no body. With Content-Length, and where it goes on to the end of the
-- connection, it is whole after `max_bytes`; a chunked one goes on.
function answer.body(read, max_bytes)
  local status, coding, length = read.status, read.headers["transfer-encoding"], read.headers["content-length"]
  if status < 200 or status == NO_CONTENT or status == NOT_MODIFIED then return nil end
  if coding and find(coding:lower(), "chunked[ \t]*$") then
    return body.new({ length = 0, chunked = true }, math.huge)
  end
  -- A length that cannot be read, or none: the body goes on to the end of the connection.
  length = not coding and length and find(length, "^%d+$") and tonumber(length) or math.huge
  return body.new({ length = min(length, max_bytes), chunked = false }, max_bytes)
end

return answer
