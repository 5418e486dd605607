--- RESP3, the protocol of Redis and Valkey: commands out, values in, without sockets.
--
-- Values come as Lua has them: strings, numbers, booleans, false for null, lists for every aggregate; a map is the list
-- of its keys and values. An error is a table with the field `fault`. What is not whole waits for more bytes.
-- @module websockets.pubsub.redis.resp
local errors = require("websockets.errors")

local resp = {}
resp.__index = resp

local byte, concat, find, match, sub = string.byte, table.concat, string.find, string.match, string.sub

-- No value that we ask for is nested deeper, and none has a longer line.
local MAX_DEPTH, MAX_LINE_BYTES = 8, 16384
local LINE_FEED, MAX_DIGITS = 10, 9
-- How a message of a subscribed channel begins.
local HEAD, SHARD_HEAD = ">3\r\n$7\r\nmessage\r\n$", ">3\r\n$8\r\nsmessage\r\n$"
-- Where the reader waits for more bytes.
local MORE = {}

--- Writes a command.
-- @tparam string ... its words
-- @treturn string bytes
function resp.command(...)
  local count = select("#", ...)
  local parts = { "*", count, "\r\n" }
  for i = 1, count do
    local word = select(i, ...)
    parts[#parts + 1] = "$" .. #word .. "\r\n"
    parts[#parts + 1] = word
    parts[#parts + 1] = "\r\n"
  end
  return concat(parts)
end

--- Writes a command with a list of words.
-- @tparam string name
-- @tparam {string,...} words
-- @tparam integer first
-- @tparam integer last place in the list
-- @treturn string bytes
function resp.list_command(name, words, first, last)
  local parts = { "*", last - first + 2, "\r\n$", #name, "\r\n", name }
  for i = first, last do parts[#parts + 1] = "\r\n$" .. #words[i] .. "\r\n" .. words[i] end
  parts[#parts + 1] = "\r\n"
  return concat(parts)
end

--- Looks a key up in a map.
-- @tparam table map list of keys and values
-- @param key
-- @return its value, or nil
function resp.field(map, key)
  for i = 1, #map - 1, 2 do
    if map[i] == key then return map[i + 1] end
  end
end

--- Tells what an answer refuses.
-- @param value
-- @treturn ?string the error, nil for any other answer
function resp.fault(value)
  return type(value) == "table" and value.fault or nil
end

local function fault_of(what) return nil, "the server broke RESP3: " .. what end

local function too_long(self) return fault_of("a value longer than " .. self.limit .. " bytes") end

local function integer(text)
  if #text > 20 or not match(text, "^[+-]?%d+$") then return fault_of("no integer") end
  return tonumber(text)
end

local DOUBLES = { inf = math.huge, ["-inf"] = -math.huge, nan = "nan" }

local function double(text)
  if DOUBLES[text] then return DOUBLES[text] end
  local is_number = match(text, "^[+-]?%d+%.?%d*$") or match(text, "^[+-]?%d+%.?%d*[eE][+-]?%d+$")
  if not is_number then return fault_of("no double") end
  return tonumber(text)
end

-- Values of one line.
local LINES = {
  ["+"] = function(text) return text end,
  ["-"] = function(text) return { fault = errors.printable(text) } end,
  [":"] = integer,
  [","] = double,
  ["("] = function(text)
    if not match(text, "^[+-]?%d+$") then return fault_of("no big number") end
    return text
  end,
  ["#"] = function(text)
    if text ~= "t" and text ~= "f" then return fault_of("no boolean") end
    return text == "t"
  end,
  ["_"] = function(text)
    if text ~= "" then return fault_of("no null") end
    return false
  end,
}

-- Values with a length, and what follows their bytes.
local BLOBS = {
  ["$"] = function(text) return text end,
  ["!"] = function(text) return { fault = errors.printable(text) } end,
  ["="] = function(text)
    if byte(text, 4) ~= 58 then return fault_of("no format of a verbatim string") end
    return sub(text, 5)
  end,
}

-- Aggregates, and how many values each counted one has.
local AGGREGATES = { ["*"] = 1, ["~"] = 1, [">"] = 1, ["%"] = 2, ["|"] = 2 }

--- Makes a reader.
-- @tparam table handler what it calls: `message(handler, channel, payload)`, `push(handler, list)` for every other
-- push, `reply(handler, value)`; each may return true to have nothing more read
-- @tparam integer limit bytes of one value at most, with all that it contains
-- @treturn resp
function resp.new(handler, limit)
  return setmetatable({
    handler = handler, limit = limit,
    -- Bytes that have come and are not read; how many are needed to go on; how many the open value has had.
    parts = {}, part_bytes = 0, needed = 1, value_bytes = 0,
    -- The aggregates that are not whole, the outermost first.
    open = {}, depth = 0,
  }, resp)
end

local function is_message(items)
  local kind = items[1]
  return #items == 3 and (kind == "message" or kind == "smessage")
    and type(items[2]) == "string" and type(items[3]) == "string"
end

local function add_push(self, items)
  -- There are pushes between values. Redis 7.0 has one inside of what EXEC answers, which is never asked here.
  if self.depth > 0 then return fault_of("a push inside of a value") end
  self.value_bytes = 0
  if is_message(items) then return self.handler:message(items[2], items[3]) end
  return self.handler:push(items)
end

-- A whole value: it goes into the aggregate that is open, which may complete that too.
local function add(self, value)
  local open = self.open
  while self.depth > 0 do
    local top = open[self.depth]
    local items = top.items
    items[#items + 1] = value
    top.left = top.left - 1
    if top.left > 0 then return end
    open[self.depth] = nil
    self.depth = self.depth - 1
    -- Attributes say something about the value that follows.
    if top.kind == "|" then return end
    value = items
    if top.kind == ">" then return add_push(self, items) end
  end
  self.value_bytes = 0
  return self.handler:reply(value)
end

local function begin_aggregate(self, kind, text)
  if text == "-1" and kind == "*" then return add(self, false) end
  local count, why = integer(text)
  if not count then return nil, why end
  count = count * AGGREGATES[kind]
  if count < 0 or count > self.limit then return fault_of("no count of values") end
  if self.depth == MAX_DEPTH then return fault_of("values nested too deeply") end
  if count == 0 and kind == ">" then return fault_of("an empty push") end
  if count == 0 and kind ~= "|" then return add(self, {}) end
  if count > 0 then
    self.depth = self.depth + 1
    self.open[self.depth] = { kind = kind, left = count, items = {} }
  end
end

-- The bytes of a value with a length, whose first line has been counted.
local function read_blob(self, buffer, kind, text, start)
  if text == "-1" and kind == "$" then return start, add(self, false) end
  local size, why = integer(text)
  if not size then return start, nil, why end
  if size < 0 or self.value_bytes + size > self.limit then return start, too_long(self) end
  local last = start + size - 1
  if last + 2 > #buffer then
    self.needed = last + 2
    return MORE
  end
  if sub(buffer, last + 1, last + 2) ~= "\r\n" then return start, fault_of("no end of a value") end
  local value
  value, why = BLOBS[kind](sub(buffer, start, last))
  if value == nil then return start, nil, why end
  self.value_bytes = self.value_bytes + size + 2
  return last + 3, add(self, value)
end

-- Whatever begins at a place. Returns the place after it, or MORE; then true where the handler wants no more, or nil
-- and what is wrong.
local function read_value(self, buffer, at)
  local stop = find(buffer, "\r", at, true)
  if not stop or stop == #buffer then
    if #buffer - at > MAX_LINE_BYTES then return at, fault_of("a line without end") end
    self.needed = #buffer + 1
    return MORE
  end
  if byte(buffer, stop + 1) ~= LINE_FEED or stop - at > MAX_LINE_BYTES then return at, fault_of("no line") end
  local kind, text = sub(buffer, at, at), sub(buffer, at + 1, stop - 1)
  local before = self.value_bytes
  self.value_bytes = before + stop - at + 2
  if self.value_bytes > self.limit then return at, too_long(self) end
  if BLOBS[kind] then
    local after, ends, why = read_blob(self, buffer, kind, text, stop + 2)
    if after == MORE then self.value_bytes = before end
    return after, ends, why
  elseif AGGREGATES[kind] then
    return stop + 2, begin_aggregate(self, kind, text)
  elseif not LINES[kind] then
    return at, fault_of("no type " .. errors.quote(kind))
  end
  local value, why = LINES[kind](text)
  if value == nil then return at, nil, why end
  return stop + 2, add(self, value)
end

-- A length at a place and the string after it: the string, the place after it. Nil where that is not whole, or wrong.
local function read_string(buffer, at)
  local digits, start = match(buffer, "^(%d+)\r\n()", at)
  local after = digits and #digits <= MAX_DIGITS and start + tonumber(digits) + 2
  if after and after <= #buffer + 1 and sub(buffer, after - 2, after - 1) == "\r\n" then
    return sub(buffer, start, after - 3), after
  end
end

-- A whole message of a channel, as most that comes is: where it does not fit, the general way reads, or judges, it.
local function read_message(self, buffer, at)
  local start = at + 18
  if sub(buffer, at, start - 1) ~= HEAD then
    start = at + 19
    if sub(buffer, at, start - 1) ~= SHARD_HEAD then return nil end
  end
  local channel, next_at = read_string(buffer, start)
  if not channel or byte(buffer, next_at) ~= 36 then return nil end
  local payload, after = read_string(buffer, next_at + 1)
  if not payload or after - at > self.limit then return nil end
  return after, self.handler:message(channel, payload)
end

-- Returns the place of the first byte that is not read; then nil, or why reading ends.
local function read_all(self, buffer)
  local at, size = 1, #buffer
  while at <= size do
    local after, ends, why
    if self.depth == 0 then after, ends = read_message(self, buffer, at) end
    if not after then after, ends, why = read_value(self, buffer, at) end
    if after == MORE then break end
    at = after
    if why then return at, why end
    if ends then return at, "stopped" end
  end
  return at
end

--- Reads bytes: whatever is whole is given to the handler.
-- @tparam string bytes
-- @treturn[1] boolean true
-- @treturn[2] nil
-- @treturn[2] string what the server did wrong, or `stopped`; nothing more is read
function resp:feed(bytes)
  local parts = self.parts
  parts[#parts + 1] = bytes
  self.part_bytes = self.part_bytes + #bytes
  if self.part_bytes < self.needed then return true end
  local buffer = #parts == 1 and bytes or concat(parts)
  for i = #parts, 1, -1 do parts[i] = nil end
  self.needed = 1
  local at, why = read_all(self, buffer)
  if why then return nil, why end
  self.part_bytes = #buffer - at + 1
  if self.part_bytes == 0 then
    self.needed = 1
  else
    parts[1], self.needed = sub(buffer, at), self.needed - at + 1
  end
  return true
end

return resp
