--- The body of a request, by Content-Length or chunked, as it comes.
-- @module websockets.http.body
local body = {}
body.__index = body

local byte, find, sub, concat = string.byte, string.find, string.sub, table.concat

-- Chunk extensions and trailers carry nothing that is used here: they only may not be long.
local MAX_LINE_BYTES = 1024
local MAX_TRAILER_BYTES = 8192
local MAX_PIECES = 256

--- Starts reading the body of a request.
-- @tparam table request as `http.parse` gave it
-- @tparam number max_bytes
-- @treturn[1] body
-- @treturn[2] nil
-- @treturn[2] integer status 413
function body.new(request, max_bytes)
  if request.length > max_bytes then return nil, 413 end
  return setmetatable({
    blocks = {}, pieces = {}, count = 0, size = 0, max_bytes = max_bytes, trailer_bytes = 0, line = "",
    state = request.chunked and "size" or "length", missing = request.length,
  }, body)
end

local function keep(self, bytes, from, upto)
  if upto < from then return end
  self.count = self.count + 1
  self.pieces[self.count] = (from == 1 and upto == #bytes) and bytes or sub(bytes, from, upto)
  self.size = self.size + upto - from + 1
  -- A body that comes byte by byte must not keep a string for each, nor be copied again and again.
  if self.count >= MAX_PIECES then
    self.blocks[#self.blocks + 1] = concat(self.pieces)
    self.pieces, self.count = {}, 0
  end
end

-- Gives the line that ends in these bytes and where the next begins, or nil when it is still on its way.
local function next_line(self, bytes, from)
  local line_feed = find(bytes, "\n", from, true)
  local part = sub(bytes, from, line_feed or #bytes)
  self.line = self.line .. part
  if #self.line > MAX_LINE_BYTES then return false, 400 end
  if not line_feed then return nil end
  local line = self.line
  self.line = ""
  if byte(line, -2) ~= 13 or find(line, "\r", 1, true) ~= #line - 1 then return false, 400 end
  return sub(line, 1, -3), line_feed + 1
end

local states = {}

-- RFC 9112 7.1
function states.size(self, bytes, from)
  local line, next_from = next_line(self, bytes, from)
  if not line then return line, next_from end
  local digits = line:match("^%x+")
  if not digits or #digits > 12 or find(line, "[%z\1-\8\10-\31\127]") then return false, 400 end
  if #digits < #line and not find(line, "^[ \t]*;", #digits + 1) then return false, 400 end
  self.missing = tonumber(digits, 16)
  if self.missing > self.max_bytes - self.size then return false, 413 end
  self.state = self.missing == 0 and "trailer" or "data"
  return true, next_from
end

function states.data(self, bytes, from)
  local upto = math.min(#bytes, from + self.missing - 1)
  keep(self, bytes, from, upto)
  self.missing = self.missing - (upto - from + 1)
  if self.missing == 0 then self.state = "data_end" end
  return true, upto + 1
end

function states.data_end(self, bytes, from)
  local line, next_from = next_line(self, bytes, from)
  if not line then return line, next_from end
  if line ~= "" then return false, 400 end
  self.state = "size"
  return true, next_from
end

function states.trailer(self, bytes, from)
  local line, next_from = next_line(self, bytes, from)
  if not line then return line, next_from end
  self.trailer_bytes = self.trailer_bytes + #line + 2
  if self.trailer_bytes > MAX_TRAILER_BYTES then return false, 431 end
  if line == "" then self.state = "done" end
  return true, next_from
end

function states.length(self, bytes, from)
  local more, next_from = states.data(self, bytes, from)
  self.state = self.missing == 0 and "done" or "length"
  return more, next_from
end

--- Takes what has come of the body.
-- @tparam string bytes
-- @tparam integer from position of the first byte
-- @treturn[1] string the whole body
-- @treturn[1] integer position behind it
-- @treturn[2] nil more is needed
-- @treturn[3] boolean false
-- @treturn[3] integer status 400, 413 or 431
function body:feed(bytes, from)
  if self.state == "length" and self.missing == 0 then self.state = "done" end
  while self.state ~= "done" do
    if from > #bytes then return nil end
    local more, next_from = states[self.state](self, bytes, from)
    if not more then return more, next_from end
    from = next_from
  end
  self.blocks[#self.blocks + 1] = concat(self.pieces)
  self.pieces, self.count = {}, 0
  return concat(self.blocks), from
end

return body
