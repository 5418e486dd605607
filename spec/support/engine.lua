--- What the engine specs share: the engines, frames built by hand, and slow, plain models to compare with.
-- @module spec.support.engine

local support = {}

local PREFIX = "websockets.engine.pure."

local byte, char, concat, floor = string.byte, string.char, table.concat, math.floor

--- The engines to test, each `{ name, engine }`; `missing` says why there is no native one.
-- With WEBSOCKETS_NATIVE=on a native engine that cannot be loaded is an error, with off it is not looked for.
function support.engines()
  local wish = os.getenv("WEBSOCKETS_NATIVE")
  local engines = { { name = "pure", engine = require "websockets.engine.pure" } }
  if wish == "off" then return engines end
  local found, native = pcall(require, "websockets.engine.native")
  if found then
    engines[2] = { name = "native", engine = native }
  elseif wish == "on" then
    error(native, 0)
  else
    engines.missing = native
  end
  return engines
end

--- Bytes written as hexadecimal numbers with blanks between them.
function support.bytes(text)
  return (text:gsub("%s+", ""):gsub("%x%x", function(digits) return char(tonumber(digits, 16)) end))
end

local function xor_byte(a, b)
  local result, bit = 0, 1
  while bit < 256 do
    if floor(a / bit) % 2 ~= floor(b / bit) % 2 then result = result + bit end
    bit = bit * 2
  end
  return result
end

local xor_table = {}

--- The plainest masking there is.
function support.mask(bytes, key)
  local list = {}
  for index = 1, #bytes do
    local pair = byte(bytes, index) * 256 + byte(key, (index - 1) % 4 + 1)
    if not xor_table[pair] then xor_table[pair] = char(xor_byte(floor(pair / 256), pair % 256)) end
    list[index] = xor_table[pair]
  end
  return concat(list)
end

local function big_endian(number, count)
  local list = {}
  for index = count, 1, -1 do
    list[index] = char(number % 256)
    number = floor(number / 256)
  end
  return concat(list)
end

--- A frame, right or wrong: `opcode`, `payload`, `fin` (false), `rsv` (0 to 7), `key` (masks), `form` (126 or 127:
-- how the length is written), `length` (what the header says instead of the truth).
function support.frame(options)
  local payload = options.payload or ""
  local length = options.length or #payload
  local form = options.form or (length < 126 and length or length < 65536 and 126 or 127)
  local first = options.opcode + 16 * (options.rsv or 0) + (options.fin == false and 0 or 128)
  local header = char(first, form + (options.key and 128 or 0))
  if form == 126 then header = header .. big_endian(length, 2) end
  if form == 127 then header = header .. big_endian(length, 8) end
  if not options.key then return header .. payload end
  return header .. options.key .. support.mask(payload, options.key)
end

--- A frame as a client sends it.
function support.masked(opcode, payload, fin)
  return support.frame { opcode = opcode, payload = payload, fin = fin, key = "\17\238\3\128" }
end

--- Options of a reader with room for everything, or with what `changes` says.
function support.options(changes)
  local options = { role = "server", max_message_bytes = 4194304, max_fragments = 1024 }
  for name, value in pairs(changes or {}) do
    options[name] = value
  end
  return options
end

--- Gives an inflater of an engine; the accelerator inflates inside its reader, which gives a message when it is whole.
function support.inflater(engine, how)
  if engine.inflater then return engine.inflater(how) end
  local reader, has_begun = nil, false
  local inflater = {}
  function inflater.inflate(_, payload, fin, limit)
    reader = reader or engine.reader({
      role = "client", max_message_bytes = limit, max_fragments = 1e9, deflate = { inflate = how },
    })
    local stream = support.frame {
      opcode = has_begun and 0 or 2, payload = payload, fin = fin, rsv = has_begun and 0 or 4,
    }
    has_begun = not fin
    local batch = {}
    local count, again = reader:feed(stream, batch)
    -- What inflates to much takes more than one call.
    while count == 0 and again do count, again = reader:feed("", batch) end
    if count == 0 then return "" end
    if batch[1] == 2 then return batch[2] end
    return nil, batch[1], batch[2]
  end
  function inflater.release() reader:release() end
  return inflater
end

--- Feeds bytes in pieces of at most `size` and lists all pairs: `{ opcode, payload, opcode, payload, ... }`.
function support.read(reader, bytes, size)
  local batch, list = {}, {}
  size = size or math.max(#bytes, 1)
  for from = 1, math.max(#bytes, 1), size do
    local count, again = reader:feed(bytes:sub(from, from + size - 1), batch)
    while true do
      for index = 1, 2 * count do
        list[#list + 1] = batch[index]
      end
      if again ~= true then break end
      count, again = reader:feed("", batch)
    end
  end
  return list
end

--- Leaves the close code as it is and hides the wording: engines may word a fault differently.
function support.without_words(list)
  local last = #list - 1
  if last > 0 and list[last] >= 1000 then
    assert(type(list[#list]) == "string" and #list[#list] > 0, "a breach says what is wrong")
    list[#list] = "breach"
  end
  return list
end

--- Random numbers that are the same everywhere: `random(n)` is 1 to n.
function support.random(seed)
  local state = seed
  return function(limit)
    state = state * 16807 % 2147483647
    return state % limit + 1
  end
end

--- UTF-8 by the definition: decode, then look at the number. Returns true, or false and the position of the
-- character that is wrong or cut short.
function support.is_utf8(text)
  local at = 1
  while at <= #text do
    local lead = byte(text, at)
    local more = lead < 0x80 and 0 or lead >= 0xC0 and lead < 0xE0 and 1 or lead >= 0xE0 and lead < 0xF0 and 2
      or lead >= 0xF0 and lead < 0xF8 and 3
    if not more then return false, at end
    local code = more == 0 and lead or lead % 2 ^ (6 - more)
    for index = 1, more do
      local value = byte(text, at + index)
      if not value or value < 0x80 or value >= 0xC0 then return false, at end
      code = code * 64 + value % 64
    end
    local least = ({ [0] = 0, 0x80, 0x800, 0x10000 })[more]
    if code < least or code > 0x10FFFF or (code >= 0xD800 and code <= 0xDFFF) then return false, at end
    at = at + more + 1
  end
  return true
end

--- Loads a module of the pure engine anew while this Lua seems to lack what is named; everything is put back.
-- @tparam string module name below websockets.engine.pure
-- @tparam table globals names
-- @tparam table tools functions of websockets.engine.pure.bits that then find nothing
-- @return what the module gives
function support.load_without(module, globals, tools)
  local bits = require "websockets.engine.pure.bits"
  local kept_globals, kept_tools, kept_module = {}, {}, package.loaded[PREFIX .. module]
  for _, name in ipairs(globals) do
    kept_globals[name] = rawget(_G, name)
    rawset(_G, name, nil)
  end
  for _, name in ipairs(tools) do
    kept_tools[name] = bits[name]
    bits[name] = function() return false end
  end
  package.loaded[PREFIX .. module] = nil
  local loaded, result = pcall(require, PREFIX .. module)
  -- SHA-1 chooses when first called.
  if loaded and type(result) == "function" then loaded, result = pcall(function() result "" return result end) end
  package.loaded[PREFIX .. module] = kept_module
  for _, name in ipairs(tools) do
    bits[name] = kept_tools[name]
  end
  for name, value in pairs(kept_globals) do
    rawset(_G, name, value)
  end
  return assert(loaded and result, result)
end

return support
