--- Operations on bits: the module `bit32` where there is one, else `bit`, else the same in Lua.
-- @module websocket.bit
local floor = math.floor

local WORD = 2 ^ 32

local function copy(library)
  local made = {}
  for name, value in pairs(library) do made[name] = value end
  made.rol, made.ror = made.rol or made.lrotate, made.ror or made.rrotate
  made.lrotate, made.rrotate = made.rol, made.ror
  return made
end

-- Combines two words bit by bit; `decide` gets how many of the two bits are set.
local function combine(a, b, decide)
  local result, weight = 0, 1
  for _ = 1, 32 do
    local low = a % 2 + b % 2
    if decide(low) then result = result + weight end
    a, b, weight = floor(a / 2), floor(b / 2), weight * 2
  end
  return result
end

local function folded(decide)
  return function(first, ...)
    local result = first % WORD
    for i = 1, select("#", ...) do result = combine(result, (select(i, ...)) % WORD, decide) end
    return floor(result)
  end
end

local function in_lua()
  local bit = {
    band = folded(function(count) return count == 2 end),
    bor = folded(function(count) return count > 0 end),
    bxor = folded(function(count) return count == 1 end),
  }
  function bit.bnot(a) return floor(WORD - 1 - a % WORD) end
  function bit.lshift(a, count) return count < 32 and floor(a % WORD * 2 ^ count % WORD) or 0 end
  function bit.rshift(a, count) return count < 32 and floor(a % WORD / 2 ^ count) or 0 end
  function bit.arshift(a, count)
    a = a % WORD
    if a >= WORD / 2 then a = a - WORD end
    return floor(floor(a / 2 ^ math.min(count, 31)) % WORD)
  end
  function bit.rol(a, count)
    count = count % 32
    return bit.lshift(a, count) + bit.rshift(a, 32 - count)
  end
  function bit.ror(a, count) return bit.rol(a, -count) end
  return copy(bit)
end

for _, name in ipairs({ "bit32", "bit" }) do
  local found, library = pcall(require, name)
  if found and type(library) == "table" then return copy(library) end
end

return in_lua()
