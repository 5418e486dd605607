--- Streams of frames, generated, mostly right: what the differential specs feed to both engines.
-- @module spec.support.streams

local assert = require "luassert"
local support = require "spec.support.engine"

local streams = {}

local TEXTS = {
  "", "plain", "gr\195\188n", "\226\130\172", "\240\159\152\128", "cut \226\130", "bad \255", "\237\160\128",
}

--- A payload: text, right or wrong, or bytes.
function streams.payload(random)
  local kind = random(10)
  if kind <= 5 then return TEXTS[random(#TEXTS)] end
  if kind <= 8 then return ("ab\0c"):rep(random(40)) end
  return ("0123456789abcdef"):rep(random(600))
end

-- A frame that is most often right: what is wrong, is wrong in one way.
local function frame(random, role)
  local options = { opcode = random(2), payload = streams.payload(random), fin = random(4) > 1 }
  local fault = random(60)
  if random(4) == 1 then options.opcode = 0 end
  if random(6) == 1 then
    options.opcode, options.fin = 7 + random(3), true
    options.payload = options.payload:sub(1, 125)
    if options.opcode == 8 then options.payload = random(2) == 1 and "" or "\3\232bye" end
  end
  if fault == 1 then options.rsv = random(7) end
  if fault == 2 then options.opcode = random(16) - 1 end
  if fault == 3 then options.form = 126 end
  if fault == 4 then options.form = 127 end
  if fault == 5 then options.payload = ("x"):rep(126) end
  if fault == 6 then options.length = 2 ^ 40 end
  if (role == "server") ~= (fault == 7) then
    options.key = string.char(random(256) - 1, random(256) - 1, random(256) - 1, random(256) - 1)
  end
  return support.frame(options)
end

--- Frames of a peer of ours in a role.
function streams.generate(random, role)
  local frames = {}
  for index = 1, random(12) do frames[index] = frame(random, role) end
  return table.concat(frames)
end

local function mask_key(random, role)
  return role == "server" and string.char(random(256) - 1, random(256) - 1, random(256) - 1, random(256) - 1) or nil
end

-- What a peer may do to compressed data, right or wrong: end the stream inside a message, lose or change bytes.
local function spoil(random, data)
  local at, fault = random(#data), random(30)
  if fault == 1 then return data:sub(1, at - 1) .. string.char(random(256) - 1) .. data:sub(at + 1) end
  if fault == 2 then return data:sub(1, at - 1) end
  if fault == 3 then return "\3\0" .. data end
  if fault == 4 then return data .. "\0\0\255\255\3\0" end
  if fault == 5 then return ("\3\0"):rep(random(30)) end
  return data
end

--- Messages that `deflater` compresses, in fragments, with plain ones and control frames between.
function streams.generate_packed(random, role, deflater)
  local frames = {}
  for _ = 1, random(8) do
    local data, opcode, rsv, from = streams.payload(random), random(2), 0, 1
    if random(4) > 1 then data, rsv = spoil(random, assert(deflater:deflate(data))), 4 end
    repeat
      local stop = random(3) == 1 and #data > 0 and random(#data) or #data
      stop = math.max(stop, from - 1)
      frames[#frames + 1] = support.frame { opcode = opcode, rsv = random(80) == 1 and random(8) - 1 or rsv,
        payload = data:sub(from, stop), fin = stop == #data, key = mask_key(random, role) }
      if random(5) == 1 then frames[#frames + 1] = support.frame { opcode = 9, key = mask_key(random, role) } end
      from, opcode, rsv = stop + 1, 0, 0
    until stop == #data
  end
  return table.concat(frames)
end

--- Where to cut so many bytes: a list of positions after the last byte of each piece.
function streams.cut(random, size)
  local ends, at = {}, 0
  local most = ({ 1, 7, 100, 4000, 100000 })[random(5)]
  while at < size do
    at = math.min(size, at + random(most))
    ends[#ends + 1] = at
  end
  return ends
end

--- All pairs that an engine's reader gives for bytes cut in pieces.
function streams.read(engine, options, bytes, ends)
  local reader, batch, list, from = engine.reader(options), {}, {}, 1
  for _, last in ipairs(ends) do
    local count, again = reader:feed(bytes:sub(from, last), batch)
    while count > 0 or again == true do
      for index = 1, 2 * count do list[#list + 1] = batch[index] end
      count, again = reader:feed("", batch)
    end
    from = last + 1
  end
  reader:release()
  return list
end

--- Compares two lists of pairs.
function streams.assert_same(expected, found, seed)
  local many = "stream " .. seed .. ": "
  assert.equal(#expected, #found, many .. "how many")
  for index = 1, #expected do
    -- Long payloads would fill the screen.
    assert.is_true(expected[index] == found[index], many .. "item " .. index .. ": "
      .. tostring(expected[index]):sub(1, 60) .. " / " .. tostring(found[index]):sub(1, 60))
  end
end

return streams
