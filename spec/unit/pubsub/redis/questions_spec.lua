--- How many questions for histories are under way, and what is over.
-- @module spec.unit.pubsub.redis.questions_spec
local questions = require("websockets.pubsub.redis.questions")
local timers = require("websockets.connection.timers")

-- Questions to a cluster of one node.
local function start()
  local self = { sent = {}, answered = 0, is_up = true }
  local link = {}
  function link.send(_, _, question)
    self.sent[#self.sent + 1] = question
    return true
  end
  self.questions = questions.new({
    context = { now = 0, timers = timers.new() },
    carrier = { link_at = function() return self.is_up and link end, redirected = function() end },
  })
  function self.ask()
    self.questions:ask(5, "command", function() self.answered = self.answered + 1 end, self.questions.short)
  end
  -- What was sent first is answered, or lost.
  function self.answer()
    local question = table.remove(self.sent, 1)
    question.reply(link, {}, question)
  end
  function self.lose()
    local question = table.remove(self.sent, 1)
    question.lost(link, question)
  end
  return self
end

describe("websockets.pubsub.redis.questions", function()
  it("asks again what a lost node has not answered", function()
    local self = start()
    for _ = 1, 3 do self.ask() end
    self.is_up = false
    for _ = 1, 3 do self.lose() end
    assert.equal(0, self.questions.short.count)
    self.is_up = true
    self.questions:ready()
    assert.same({ 3, 3 }, { #self.sent, self.questions.short.count })
    for _ = 1, 3 do self.answer() end
    assert.same({ 3, 0 }, { self.answered, self.questions.short.count })
  end)

  it("counts what is under way, also where all was taken for lost and is answered, or lost, later", function()
    local self = start()
    for _ = 1, 4 do self.ask() end
    self.questions:lost()
    self.ask()
    self.answer()
    self.answer()
    self.lose()
    self.lose()
    self.questions:ready()
    assert.same({ 1, 1 }, { #self.sent, self.questions.short.count })
    self.answer()
    assert.equal(0, self.questions.short.count)
  end)
end)
