--- What is kept of the names that other processes have told.
-- @module spec.unit.pubsub.others_spec
local others = require("websockets.pubsub.others")

local A, B = "process-aaaa", "process-bbbb"

-- Names with their signs.
local function tell(all, origin, topic, text, now, is_all)
  all:take(origin, topic, is_all or false, function(fn)
    for sign, name in text:gmatch("([+-])(%S+)") do fn(sign, name) end
  end, now)
end

local function list(all, topic, now)
  local names = {}
  all:each(topic, function(set)
    for name in pairs(set) do names[#names + 1] = name end
  end, now)
  table.sort(names)
  return table.concat(names, " ")
end

describe("websockets.pubsub.others", function()
  it("knows the names of each process, by changes or all at once", function()
    local all = others.new(30, 10)
    tell(all, A, "room", "+ada +grace", 0)
    tell(all, B, "room", "+linus", 0)
    tell(all, A, "room", "-ada -nobody", 0)
    assert.equal("grace linus", list(all, "room", 0))
    tell(all, A, "room", "+hopper", 0, true)
    tell(all, A, "hall", "+ada", 0)
    assert.equal("hopper linus", list(all, "room", 0))
    all:forget("room")
    assert.equal("", list(all, "room", 0))
    all:gone(A)
    assert.equal("", list(all, "hall", 0))
  end)

  it("keeps names that are asked for until they are told again, or for a while", function()
    local all = others.new(30, 10)
    tell(all, A, "room", "+ada +grace", 0)
    tell(all, B, "room", "+linus", 0)
    all:asked("room", 5)
    assert.equal("ada grace linus", list(all, "room", 5))
    tell(all, A, "room", "+grace", 6, true)
    assert.equal("grace linus", list(all, "room", 6))
    assert.equal("grace linus", list(all, "room", 15))
    assert.equal("grace", list(all, "room", 15.1))
    assert.is_nil(next(all.processes[B].old))
  end)

  it("keeps what a process tells after it was asked longer than what it told before", function()
    local all = others.new(30, 10)
    tell(all, A, "room", "+ada +grace", 0)
    all:asked("room", 5)
    -- It had none when it was asked, and has some later.
    tell(all, A, "room", "+new +ada -grace", 6)
    assert.equal("ada new", list(all, "room", 6))
    tell(all, A, "room", "-ada", 7)
    assert.equal("new", list(all, "room", 7))
    all:asked("room", 14)
    assert.equal("new", list(all, "room", 24))
    all:expire(24.1)
    assert.same({ {}, {} }, { all.processes[A].topics, all.processes[A].old })
  end)

  it("forgets a process that gives no sign of life", function()
    local all = others.new(30, 10)
    tell(all, A, "room", "+ada", 0)
    all:lives(A, 20)
    all:lives(B, 20)
    all:expire(50)
    assert.equal("ada", list(all, "room", 50))
    all:expire(50.1)
    assert.same({}, all.processes)
  end)
end)
