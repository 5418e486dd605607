--- Commands that ask for something of a topic with a history, and change nothing.
--
-- A cluster may refer them to another node: it is asked, or the question waits until it is known anew which node has
-- the slot.
-- @module websockets.pubsub.redis.questions
local resp = require("websockets.pubsub.redis.resp")
local slots = require("websockets.pubsub.redis.slots")
local window = require("websockets.pubsub.redis.window")

local questions = {}
questions.__index = questions

-- Redis ends a subscriber for which 32 MiB wait, or 8 MiB for a minute. So of short answers, which nearly all are, many
-- are under way at a time, and of long ones few.
local MAX_SHORT, MAX_LONG = 256, 4
-- When a question is tried again for which the queue has no room.
local RETRY_SECONDS = 0.05
local ASKING = resp.command("ASKING")

-- Whether all questions were taken for lost since it was asked.
local function is_over(question) return question.round ~= question.questions.round end

-- Until the plane is ready, and there is a connection for its slot.
local function wait(self, question)
  if is_over(question) then return end
  local list = self.waiting[question.slot] or {}
  list[#list + 1], self.waiting[question.slot] = question, list
end

local function leave(question)
  if question.window and not is_over(question) then question.window:leave() end
end

local again

-- Returns whether the question is under way. While too much waits for the server that is tried again soon.
local function send(question)
  local self = question.questions
  local its_link = self.plane.carrier:link_at(question.slot)
  if not its_link then
    wait(self, question)
    return false
  end
  question.is_asked = false
  if not its_link:send(question.command, question) then
    local context = self.plane.context
    context.timers:start(RETRY_SECONDS, context.now, question, again)
  end
  return true
end

-- What a server alone was to be asked is over with the connection to it.
function again(question)
  if not is_over(question) and not send(question) then leave(question) end
end

-- A server alone is asked anew by what follows the loss.
local function lost(_, question)
  local self = question.questions
  if not self.plane.carrier.redirected then return end
  wait(self, question)
  leave(question)
end

-- Asks the node that an error names: the keys may be at another node than the channel while a slot moves.
local function follow(self, question, fault, its_link)
  local other = not question.is_asked and self.plane.carrier:link_for(fault, its_link)
  question.is_asked = true
  return other and other:send(ASKING) and other:send(question.command, question)
end

local function answered(its_link, value, question)
  local self, fault = question.questions, resp.fault(value)
  local carrier = self.plane.carrier
  if not (fault and carrier.redirected and slots.is_redirection(fault)) then
    leave(question)
    return question.done(value)
  end
  if follow(self, question, fault, its_link) then return end
  wait(self, question)
  leave(question)
  carrier:redirected(its_link)
end

--- Makes an empty set.
-- @tparam table plane `websockets.pubsub.shared`
-- @treturn questions `short`, `long`: windows for questions with such answers
function questions.new(plane)
  return setmetatable({
    plane = plane,
    -- Slot -> those that wait until a node of it can be reached.
    waiting = {},
    -- How often a server alone was lost.
    round = 0,
    short = window.new(MAX_SHORT, send),
    long = window.new(MAX_LONG, send),
  }, questions)
end

-- Returns whether it is under way, or will be.
local function enter(question)
  if not question.window then return send(question) end
  question.window:enter(question)
  return true
end

--- Asks the node that has a slot.
-- @tparam integer|boolean slot
-- @tparam string command
-- @tparam function done `done(value)`; it is not called where a server alone is lost
-- @tparam ?window its_window in which it waits for its turn; nil: it is asked at once
-- @treturn boolean whether it is asked, or will be
function questions:ask(slot, command, done, its_window)
  if not self.plane.carrier:link_at(slot) then return false end
  return enter({
    questions = self, slot = slot, command = command, done = done, window = its_window or false, is_asked = false,
    round = self.round, reply = answered, lost = lost,
  })
end

--- The server, or more of the cluster than before, can be reached: what waits for that is asked again. A new map of a
-- cluster in trouble comes each second: what goes on waiting costs nothing then.
function questions:ready()
  local waiting, carrier, may_go = self.waiting, self.plane.carrier, {}
  for slot in pairs(waiting) do
    if carrier:link_at(slot) then may_go[#may_go + 1] = slot end
  end
  for _, slot in ipairs(may_go) do
    local list = waiting[slot]
    waiting[slot] = nil
    for _, question in ipairs(list) do enter(question) end
  end
end

--- A server alone is lost: no question is answered any more.
function questions:lost()
  self.round, self.waiting = self.round + 1, {}
  self.short:reset()
  self.long:reset()
end

require("websockets.loading").interpret(questions.ready)

return questions
