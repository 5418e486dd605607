--- Questions to a server of which only so many are under way at a time; the others wait for their turn.
-- @module websockets.pubsub.redis.window
local window = {}
window.__index = window

--- Makes one that is open.
-- @tparam integer limit how many are under way at most
-- @tparam function ask `ask(question)` sends it; returns whether it is under way
-- @treturn window
function window.new(limit, ask)
  return setmetatable({ limit = limit, ask = ask, count = 0, waiting = {}, first = 1, last = 0 }, window)
end

-- What cannot be asked is over, also where an error says so.
local function begin(self, question)
  if self.ask(question) then self.count = self.count + 1 end
end

--- Asks a question, or has it wait.
-- @tparam table question
function window:enter(question)
  if self.count < self.limit then return begin(self, question) end
  self.last = self.last + 1
  self.waiting[self.last] = question
end

--- A question is answered: those that wait may follow.
function window:leave()
  self.count = self.count - 1
  while self.first <= self.last and self.count < self.limit do
    local question = self.waiting[self.first]
    self.waiting[self.first] = nil
    self.first = self.first + 1
    begin(self, question)
  end
end

--- Forgets all questions: none is answered any more.
function window:reset()
  self.count, self.waiting, self.first, self.last = 0, {}, 1, 0
end

return window
