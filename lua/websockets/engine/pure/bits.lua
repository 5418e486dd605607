--- Bit work that each Lua does in its own way: which tools there are, and exclusive or by lookup.
-- @module websockets.engine.pure.bits

local bits = {}

local load_text = loadstring or load

--- Compiles generated source and calls it with the given arguments.
-- @tparam string name what error messages call the source
-- @tparam string source Lua source that may use `...`
-- @param ... what the source gets
-- @return whatever the source returns
function bits.compile(name, source, ...)
  return assert(load_text(source, "=" .. name))(...)
end

--- Tells whether this Lua has bit operators on 64-bit integers (5.3 and later, unless built for 32 bits).
-- @treturn boolean
function bits.has_operators()
  return load_text("return 1 ~ 2") ~= nil and math.maxinteger > 2147483647
end

--- Gives the LuaJIT foreign function interface where it is fast: without the compiler it is slower than tables.
-- @treturn[1] table the module `ffi`
-- @treturn[2] boolean false
function bits.find_ffi()
  local jit = rawget(_G, "jit")
  if type(jit) ~= "table" or not jit.status() then return false end
  local found, ffi = pcall(require, "ffi")
  return found and ffi
end

-- Each half of a row follows from the half below it: one bit more, flipped where the key has it.
local function build_row(rows, key)
  local row = { [0] = key }
  local bit = 1
  while bit < 256 do
    local change = (key % (2 * bit) >= bit) and -bit or bit
    for low = 0, bit - 1 do
      row[bit + low] = row[low] + change
    end
    bit = 2 * bit
  end
  rows[key] = row
  return row
end

--- `bits.rows[a][b]` is the exclusive or of two bytes; a row is built when first asked for.
bits.rows = setmetatable({}, { __index = build_row })

--- Names `first` to `last` of a family of variables, for generated source: `b1, b2, b3`.
-- @tparam string letter
-- @tparam number count how many
-- @tparam ?string form format of one item, with `%d` for each number in it
-- @treturn string
function bits.list(letter, count, form)
  local names = {}
  for index = 1, count do
    names[index] = (form or letter .. "%d"):gsub("%%d", tostring(index))
  end
  return table.concat(names, ", ")
end

return bits
