--- Choices out of the first bytes of an input; the rest is what a peer sends.
-- @module fuzz.lua.choices

local choices = {}
choices.__index = choices

local PIECES = { math.huge, 1, 2, 3, 7, 16, 125, 1000 }

--- Begin to take choices.
-- @tparam string data
-- @treturn choices
function choices.new(data)
  return setmetatable({ data = data, at = 1 }, choices)
end

--- Take a number from 1 to `count`, for which a byte is used; 1 where none is left.
-- @tparam integer count
-- @treturn integer
function choices:one_of(count)
  local byte = self.data:byte(self.at) or 0
  self.at = self.at + 1
  return byte % count + 1
end

--- Take yes or no.
-- @treturn boolean
function choices:flag()
  return self:one_of(2) == 2
end

--- Take the rest.
-- @treturn string
function choices:rest()
  return self.data:sub(self.at)
end

--- Take the rest, cut into pieces of a size that is chosen.
-- @treturn {string,...} at least one
function choices:pieces()
  local size = PIECES[self:one_of(#PIECES)]
  local rest, list = self:rest(), {}
  size = math.max(1, math.min(size, #rest))
  for from = 1, math.max(1, #rest), size do list[#list + 1] = rest:sub(from, from + size - 1) end
  return list
end

--- Take the settings of a side that compresses.
-- @treturn table as `websockets.options.compression` makes it
function choices:compression()
  return {
    level = 6, threshold = 32, agreed = {}, keeps_context = self:flag(),
    server_no_context_takeover = self:flag(), client_no_context_takeover = self:flag(),
    server_max_window_bits = 8 + self:one_of(7), client_max_window_bits = 8 + self:one_of(7),
  }
end

return choices
