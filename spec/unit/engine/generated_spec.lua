--- Generated streams, right and damaged, cut at random, against a decoder that is plain and slow.
-- @module spec.unit.engine.generated_spec

local new_budget = require("websockets.engine.budget").new
local support = require "spec.support.engine"

local byte = string.byte

local STREAMS = 150
local OPTIONS = support.options { max_message_bytes = 3000, max_fragments = 6 }

local LENGTHS = { 0, 1, 2, 3, 7, 31, 64, 65, 124, 125, 126, 127, 128, 129, 255, 256, 257, 300, 1000 }
local WORDS = { "a", "\0", "hello ", "\195\164", "\226\130\172", "\240\159\152\128",
  "\237\159\191", "\244\143\191\191" }

local function make_payload(random, is_text)
  local length, parts, size = LENGTHS[random(#LENGTHS)], {}, 0
  while size < length do
    local part = is_text and WORDS[random(#WORDS)] or string.char(random(256) - 1)
    parts[#parts + 1] = part
    size = size + #part
  end
  return table.concat(parts)
end

local function make_key(random)
  return string.char(random(256) - 1, random(256) - 1, random(256) - 1, random(256) - 1)
end

local function add_message(random, parts)
  local opcode = random(2)
  local payload = make_payload(random, opcode == 1)
  local from = 1
  for index = 1, random(4) do
    local is_last = index == 4 or random(2) == 1
    local to = is_last and #payload or math.min(#payload, from + random(40) - 2)
    parts[#parts + 1] = support.frame {
      opcode = index == 1 and opcode or 0, fin = is_last, payload = payload:sub(from, to), key = make_key(random),
    }
    from = to + 1
    if random(3) == 1 then
      parts[#parts + 1] = support.frame { opcode = 8 + random(2), payload = "ctl" .. index, key = make_key(random) }
    end
    if is_last then return end
  end
end

-- Half the streams are damaged at one place: a byte changed, lost or added.
local function make_stream(random)
  local parts = {}
  for _ = 1, random(12) do
    add_message(random, parts)
  end
  if random(4) == 1 then
    parts[#parts + 1] = support.frame { opcode = 8, payload = "\3\232over", key = make_key(random) }
    parts[#parts + 1] = "after"
  end
  local stream = table.concat(parts)
  local at, damage = random(#stream), random(6)
  if damage == 1 then return stream:sub(1, at - 1) .. string.char(random(256) - 1) .. stream:sub(at + 1) end
  if damage == 2 then return stream:sub(1, at - 1) .. stream:sub(at + 1) end
  if damage == 3 then return stream:sub(1, at) .. string.char(random(256) - 1) .. stream:sub(at + 1) end
  return stream
end

local function breach_of_header(first, second, in_message, frames)
  local opcode = first % 16
  if first % 128 >= 16 or (opcode > 2 and opcode < 8) or opcode > 10 then return 1002 end
  if opcode >= 8 and (first < 128 or second % 128 > 125) then return 1002 end
  if opcode == 0 and not in_message or (opcode == 1 or opcode == 2) and in_message then return 1002 end
  if opcode == 0 and frames >= OPTIONS.max_fragments then return 1009 end
  if second < 128 then return 1002 end
end

-- Length and header size; nothing where bytes are missing; a close code where it is wrong.
local function plain_length(stream)
  local short = byte(stream, 2) % 128
  if short < 126 then return short, 2 end
  local size = short == 126 and 2 or 8
  if #stream < 2 + size then return nil end
  local length = 0
  for index = 3, 2 + size do
    length = length * 256 + byte(stream, index)
  end
  if length < (size == 2 and 126 or 65536) or length >= 2 ^ 63 then return nil, nil, 1002 end
  return length, 2 + size
end

local function breach_of_close(payload)
  if #payload == 1 then return 1002 end
  if #payload == 0 then return nil end
  local code = byte(payload, 1) * 256 + byte(payload, 2)
  local allowed = code >= 3000 and code < 5000 or code >= 1000 and code <= 1014 and not (code > 1003 and code < 1007)
  if not allowed then return 1002 end
  return not support.is_utf8(payload:sub(3)) and 1007 or nil
end

-- One frame off the front: its first byte, its payload and the rest, or a close code as second result.
local function plain_frame(stream, message)
  if #stream < 2 then return nil end
  local first, second = byte(stream, 1, 2)
  local code = breach_of_header(first, second, message.opcode ~= nil, message.frames)
  if code then return nil, code end
  local length, size, wrong = plain_length(stream)
  if not length then return nil, wrong end
  if first % 16 < 8 and #message.payload + length > OPTIONS.max_message_bytes then return nil, 1009 end
  if #stream < size + 4 + length then return nil end
  local payload = support.mask(stream:sub(size + 5, size + 4 + length), stream:sub(size + 1, size + 4))
  return first, payload, stream:sub(size + 5 + length)
end

local FILLERS = { "\128\128\128", "\144\128\128", "\160\128\128" }

-- Whether more bytes could make it UTF-8: tried, not thought.
local function may_become_utf8(text)
  local is_valid, at = support.is_utf8(text)
  if is_valid then return true end
  local tail = text:sub(at)
  for _, filler in ipairs(FILLERS) do
    for length = 1, 3 do
      if support.is_utf8(tail .. filler:sub(1, length)) then return true end
    end
  end
  return false
end

-- Adds a fragment to the message; the message and its payload where it ends, 1007 where it cannot be.
local function add_fragment(message, first, payload)
  message.opcode = message.opcode or first % 16
  message.payload, message.frames = message.payload .. payload, message.frames + 1
  local is_last = first >= 128
  if message.opcode == 1 then
    local check = is_last and support.is_utf8 or may_become_utf8
    if not check(message.payload) then return 1007, "breach" end
  end
  if is_last then return message.opcode, message.payload end
end

-- Decodes whole frames only; returns the pairs and whether the end was reached.
local function decode(stream)
  local list, message = {}, { payload = "", frames = 0 }
  while true do
    local first, payload, rest = plain_frame(stream, message)
    if not first and not payload then return list, false end
    local opcode, content
    if not first then
      opcode, content = payload, "breach"
    elseif first % 16 < 8 then
      opcode, content = add_fragment(message, first, payload)
      if opcode then message = { payload = "", frames = 0 } end
    else
      local code = first % 16 == 8 and breach_of_close(payload)
      opcode, content = code or first % 16, code and "breach" or payload
    end
    if opcode then list[#list + 1], list[#list + 2] = opcode, content end
    if opcode == 8 or (opcode or 0) >= 1000 then return list, true end
    stream = rest
  end
end

local function read_at_random(engine, options, stream, random)
  local reader, batch, list = engine.reader(options), {}, {}
  local at, most = 1, ({ 1, 5, 40, 400, #stream })[random(5)]
  while at <= #stream do
    local size = random(most)
    local count, again = reader:feed(stream:sub(at, at + size - 1), batch)
    at = at + size
    repeat
      for index = 1, 2 * count do
        list[#list + 1] = batch[index]
      end
      if again == true then count, again = reader:feed("", batch) else count = 0 end
    until count == 0
  end
  reader:release()
  return support.without_words(list)
end

for _, entry in ipairs(support.engines()) do
  describe("generated streams on engine " .. entry.name, function()
    it("are read as by the plain decoder, however cut", function()
      local random = support.random(20111206)
      local breaches, ends = 0, 0
      for number = 1, STREAMS do
        local stream = make_stream(random)
        local expected, is_ended = decode(stream)
        local budget = new_budget(1000000)
        local options = support.options { max_message_bytes = OPTIONS.max_message_bytes,
          max_fragments = OPTIONS.max_fragments, budget = budget }
        local whole = support.without_words(support.read(entry.engine.reader(options), stream))
        breaches = breaches + (whole[#whole] == "breach" and 1 or 0)
        ends = ends + (is_ended and 1 or 0)
        -- Of the frame that did not come whole the engine may already know that it is wrong.
        if not is_ended and #whole == #expected + 2 and whole[#whole] == "breach" then
          expected[#expected + 1], expected[#expected + 2] = whole[#whole - 1], "breach"
        end
        assert.same(expected, whole, "stream " .. number)
        budget:charge(-budget:used())
        for _ = 1, 4 do
          assert.same(expected, read_at_random(entry.engine, options, stream, random), "stream " .. number)
          assert.equal(0, budget:used())
        end
      end
      assert.is_true(breaches > STREAMS / 10 and ends > breaches and STREAMS - ends > STREAMS / 10)
    end)
  end)
end
