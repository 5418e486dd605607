--- UTF-8, checked as strictly as RFC 3629 says, in pieces cut anywhere.
-- @module websockets.engine.pure.utf8
-- @rfc 6455 8.1

local bits = require "websockets.engine.pure.bits"

local byte, find, match, sub = string.byte, string.find, string.match, string.sub
local min = math.min

local utf8 = {}

-- States: 0 between two characters; 1 to 3 count the continuation bytes to come; 4 to 7 follow a lead byte after which
-- fewer bytes are allowed; 8 for ever after a bad byte.
-- Each line: state, first byte, last byte, next state.
local REJECT = 8
local RULES = {
  { 0, 0x00, 0x7F, 0 }, { 0, 0xC2, 0xDF, 1 }, { 0, 0xE0, 0xE0, 4 }, { 0, 0xE1, 0xEC, 2 }, { 0, 0xED, 0xED, 5 },
  { 0, 0xEE, 0xEF, 2 }, { 0, 0xF0, 0xF0, 6 }, { 0, 0xF1, 0xF3, 3 }, { 0, 0xF4, 0xF4, 7 },
  { 1, 0x80, 0xBF, 0 }, { 2, 0x80, 0xBF, 1 }, { 3, 0x80, 0xBF, 2 },
  { 4, 0xA0, 0xBF, 1 }, { 5, 0x80, 0x9F, 1 }, { 6, 0x90, 0xBF, 2 }, { 7, 0x80, 0x8F, 2 },
}

-- Every state is a table from byte to next state, so 32 bytes are 32 lookups in one expression.
local nodes

local function build_nodes()
  local built = {}
  for state = 0, REJECT do
    built[state] = { state = state }
  end
  for state = 0, REJECT do
    for value = 0, 255 do
      built[state][value] = built[REJECT]
    end
  end
  for _, rule in ipairs(RULES) do
    for value = rule[2], rule[3] do
      built[rule[1]][value] = built[rule[4]]
    end
  end
  -- Only now: memory may have been refused before the last of them.
  nodes = built
  return nodes
end

local CHAIN = [[
local byte = ...
return function(node, bytes, at)
  local %s = byte(bytes, at, at + %d)
  return node%s
end]]

local chains = setmetatable({}, {
  __index = function(chains, size)
    local steps = {}
    for index = 1, size do
      steps[index] = ("[b%d]"):format(index)
    end
    local source = CHAIN:format(bits.list("b", size), size - 1, table.concat(steps))
    chains[size] = bits.compile("utf8", source, byte)
    return chains[size]
  end,
})

local function walk(node, bytes, first, last)
  local chain = chains[32]
  while last - first >= 31 do
    node = chain(node, bytes, first)
    first = first + 32
  end
  if first > last then return node end
  return chains[last - first + 1](node, bytes, first)
end

-- The pattern skips ASCII four times as fast as the walk; it is tried again every 256 bytes.
local function next_by_tables(state, bytes, first, last)
  local node = (nodes or build_nodes())[state]
  while first <= last do
    if node.state == 0 then first = match(bytes, "^[\1-\127]*()", first) end
    local stop = min(first + 255, last)
    node = walk(node, bytes, first, stop)
    if node.state == REJECT then return nil end
    first = stop + 1
  end
  return node.state
end

local function valid_by_tables(bytes)
  local size = #bytes
  local first = match(bytes, "^[\1-\127]*()")
  return first > size or next_by_tables(0, bytes, first, size) == 0
end

-- Lua 5.3 takes surrogates for characters, and nothing else that is wrong. Looking for their lead byte alone
-- costs next to nothing.
local function find_surrogate(bytes, first)
  return find(bytes, "\237", first, true) and find(bytes, "\237[\160-\191]", first)
end

local function use_library(library)
  local length = library.len
  local is_strict = not length("\237\160\128")

  local function valid(bytes)
    return length(bytes) ~= nil and (is_strict or not find_surrogate(bytes, 1))
  end

  local function advance(state, bytes, first, last)
    if state ~= 0 then
      local stop = min(last, first + 2)
      while state ~= 0 and first <= stop do
        state = next_by_tables(state, bytes, first, first)
        if not state then return nil end
        first = first + 1
      end
    end
    if first > last then return state end
    if last < #bytes then bytes = sub(bytes, 1, last) end
    if not is_strict and find_surrogate(bytes, first) then return nil end
    local count, bad = length(bytes, first)
    if count then return 0 end
    -- What is left may be a character cut short; a character has four bytes at most.
    if last - bad > 2 then return nil end
    return next_by_tables(0, bytes, bad, last)
  end

  return advance, valid
end

-- `steps[256 * state + byte]` is 256 times the next state.
local function build_steps(ffi)
  local steps = ffi.new("int32_t[?]", 256 * (REJECT + 1))
  for index = 0, 256 * (REJECT + 1) - 1 do
    steps[index] = 256 * REJECT
  end
  for _, rule in ipairs(RULES) do
    for value = rule[2], rule[3] do
      steps[256 * rule[1] + value] = 256 * rule[4]
    end
  end
  return steps
end

local function eight(steps, state, data, at)
  state = steps[state + data[at]]
  state = steps[state + data[at + 1]]
  state = steps[state + data[at + 2]]
  state = steps[state + data[at + 3]]
  state = steps[state + data[at + 4]]
  state = steps[state + data[at + 5]]
  state = steps[state + data[at + 6]]
  return steps[state + data[at + 7]]
end

local function use_ffi(ffi)
  local bit = require "bit"
  local band, bor = bit.band, bit.bor
  local octets, words = ffi.typeof("const uint8_t *"), ffi.typeof("const int32_t *")
  local steps

  -- Sixteen bytes of ASCII between two characters are skipped at once.
  local function advance(state, bytes, first, last)
    steps = steps or build_steps(ffi)
    local data, at = ffi.cast(octets, bytes), first - 1
    state = 256 * state
    while at + 16 <= last do
      local word = ffi.cast(words, data + at)
      if state ~= 0 or band(bor(word[0], word[1], word[2], word[3]), 0x80808080) ~= 0 then
        state = eight(steps, eight(steps, state, data, at), data, at + 8)
      end
      at = at + 16
    end
    while at < last do
      state = steps[state + data[at]]
      at = at + 1
    end
    if state == 256 * REJECT then return nil end
    return state / 256
  end

  local function valid(bytes)
    return advance(0, bytes, 1, #bytes) == 0
  end

  return advance, valid
end

local function choose()
  local ffi = bits.find_ffi()
  if ffi then return use_ffi(ffi) end
  local library = rawget(_G, "utf8")
  if library then return use_library(library) end
  return next_by_tables, valid_by_tables
end

local advance, valid = choose()

--- Continues a check where the piece before ended.
-- @function utf8.next
-- @tparam number state 0 at a character boundary, else what the call before returned
-- @tparam string bytes
-- @tparam number first position of the first byte to look at
-- @tparam number last position of the last byte to look at
-- @treturn[1] number the state after the last byte
-- @treturn[2] nil as soon as no further bytes could make it UTF-8
-- @rfc 6455 8.1
utf8.next = advance

--- Tells whether a whole string is UTF-8: no surrogates, no overlong forms, nothing above U+10FFFF.
-- @function utf8.valid
-- @tparam string bytes
-- @treturn boolean
-- @rfc 6455 8.1
utf8.valid = valid

return utf8
