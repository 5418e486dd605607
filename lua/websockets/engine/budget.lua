--- How many bytes the unfinished messages and requests of a context hold, and how many more they may. A budget refuses
-- nothing: its readers tell when it is passed, and whoever has made it decides which of them ends.
-- @classmod websockets.engine.budget
local budget = {}
budget.__index = budget

-- What holds less is never ended to make room for others: this many bytes, or a small part of the limit.
local SMALL_BYTES, SMALL_PART = 4096, 1 / 1024

--- Makes a budget of which nothing is used.
-- @tparam number limit bytes
-- @tparam ?table account where the bytes are counted instead of here: `held()`, `charge(bytes)`
-- @treturn budget
function budget.new(limit, account)
  return setmetatable({
    limit = limit, small = math.min(SMALL_BYTES, limit * SMALL_PART), charged = 0, account = account or false, last = 0,
  }, budget)
end

--- Tells how much is held.
-- @treturn number bytes
function budget:used()
  local account = self.account
  return account and account.held() or self.charged
end

--- Tells how much more may be held.
-- @treturn number bytes, below 0 where the limit is passed already
function budget:room()
  return self.limit - self:used()
end

--- Counts bytes that are held from now on.
-- @tparam number bytes negative for those that are given back
function budget:charge(bytes)
  local account = self.account
  if account then return account.charge(bytes) end
  self.charged = self.charged + bytes
end

--- Classes what one holder has.
-- @tparam number held bytes
-- @treturn integer 0 nothing, 1 little, 2 so much that it can be ended to make room
function budget:level(held)
  return held <= 0 and 0 or held <= self.small and 1 or 2
end

--- Gives the next message that is not whole a number.
-- @treturn integer
function budget:number()
  self.last = self.last + 1
  return self.last
end

return budget
