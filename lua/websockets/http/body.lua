--- The body of a message, with Content-Length or chunked, read piece by piece.
-- @classmod websockets.http.body
local fields = require("websockets.http.fields")

local body = {}
body.__index = body

local byte, find, sub, concat = string.byte, string.find, string.sub, table.concat

-- Chunk extensions and trailers are not used: only their length is limited.
local MAX_LINE_BYTES = 1024
local MAX_TRAILER_BYTES = 8192
local MAX_PIECES = 256
-- What a piece costs beside its bytes.
local PIECE_BYTES = 128

--- Begins to read the body of a request, or of an answer.
-- @rfc 9112 6, 7.1
-- @tparam table request as `http.parse` gave it
-- @tparam number max_bytes
-- @treturn[1] body
-- @treturn[2] nil the announced length is above `max_bytes`
-- @treturn[2] integer status 413
function body.new(request, max_bytes)
  if request.length > max_bytes then return nil, 413 end
  return setmetatable({
    blocks = {}, pieces = {}, count = 0, size = 0, max_bytes = max_bytes, trailer_bytes = 0, line = "",
    chunked = request.chunked, state = request.chunked and "size" or "data", missing = request.length,
  }, body)
end

local function join_pieces(self)
  self.blocks[#self.blocks + 1] = concat(self.pieces)
  self.pieces, self.count = {}, 0
end

local function take_data(self, bytes, from)
  local last = math.min(#bytes, from + self.missing - 1)
  if last >= from then
    self.count = self.count + 1
    self.pieces[self.count] = (from == 1 and last == #bytes) and bytes or sub(bytes, from, last)
    self.size, self.missing = self.size + last - from + 1, self.missing - (last - from + 1)
    -- A body that comes byte by byte must not keep a string for each byte, and must not be copied each time.
    if self.count >= MAX_PIECES then join_pieces(self) end
  end
  if self.missing == 0 then self.state = self.chunked and "data_end" or "done" end
  return last + 1
end

-- Gives the next line and the position after it; nil while its end has not come; false and a status if it is
-- malformed.
local function next_line(self, bytes, from)
  local line_feed = find(bytes, "\n", from, true)
  local line = self.line .. sub(bytes, from, line_feed or #bytes)
  if #line > MAX_LINE_BYTES then return false, 400 end
  self.line = line_feed and "" or line
  if not line_feed then return nil end
  if byte(line, -2) ~= 13 or find(line, "\r", 1, true) ~= #line - 1 then return false, 400 end
  return sub(line, 1, -3), line_feed + 1
end

-- Each takes one line of a chunked body, and gives a status if the line is wrong. RFC 9112 7.1.
local take_line = {}

function take_line.size(self, line)
  local digits = line:match("^%x+")
  if not digits or #digits > 12 or not fields.is_value(line) then return 400 end
  if #digits < #line and not find(line, "^[ \t]*;", #digits + 1) then return 400 end
  self.missing = tonumber(digits, 16)
  if self.missing > self.max_bytes - self.size then return 413 end
  self.state = self.missing == 0 and "trailer" or "data"
end

function take_line.data_end(self, line)
  if line ~= "" then return 400 end
  self.state = "size"
end

function take_line.trailer(self, line)
  self.trailer_bytes = self.trailer_bytes + #line + 2
  if self.trailer_bytes > MAX_TRAILER_BYTES then return 431 end
  if line == "" then self.state = "done" end
end

--- Tells how much is kept of what has come.
-- @treturn integer bytes, with what each piece costs beside its bytes
function body:held()
  return self.size + PIECE_BYTES * self.count
end

--- Tells how much of the body has come.
-- @treturn integer bytes
function body:received()
  return self.size
end

--- Gives what has come of the body.
-- @treturn string
function body:so_far()
  return concat(self.blocks) .. concat(self.pieces)
end

--- Takes the next bytes of the body.
-- @tparam string bytes
-- @tparam integer from position of the first byte
-- @treturn[1] string the whole body
-- @treturn[1] integer position after it
-- @treturn[2] nil the body is not complete
-- @treturn[3] boolean false
-- @treturn[3] integer status 400, 413 or 431
function body:feed(bytes, from)
  if self.state == "data" and self.missing == 0 then self.state = "done" end
  while self.state ~= "done" do
    if from > #bytes then return nil end
    if self.state == "data" then
      from = take_data(self, bytes, from)
    else
      local line, next_from = next_line(self, bytes, from)
      if not line then return line, next_from end
      local status = take_line[self.state](self, line)
      if status then return false, status end
      from = next_from
    end
  end
  join_pieces(self)
  return concat(self.blocks), from
end

return body
