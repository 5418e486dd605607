--- Any order of subscribing, leaving, publishing, stalling, reading on and ending, in topics of every policy: the same
-- model for both engines tells what each connection gets and what is counted.
--
-- SEED begins with other cases (1), CASES runs more of them (6). A failure names its seed.
-- @module spec.behaviour.topic_property_spec
local client = require("spec.support.client")
local inside = require("spec.support.inside")
local server = require("spec.support.server")
local socket = require("socket")
local support = require("spec.support.engine")

local FIRST_SEED, CASES = tonumber(os.getenv("SEED") or 1), tonumber(os.getenv("CASES") or 6)
local STEPS, QUICK, SLOW = 120, 3, 2
local KIB = 1024
local SOCKET_BYTES, MAX_BUFFERED_BYTES = 16 * KIB, 32 * KIB
local SIZES = { 0, 10, 4 * KIB, 12 * KIB, 12 * KIB }
local POLICY = {
  close = "close", ["close 2"] = "close", new = "drop_new", old = "drop_old", ["old 2"] = "drop_old", last = "conflate",
}
local NAMES = {}
for name in pairs(POLICY) do NAMES[#NAMES + 1] = name end
table.sort(NAMES)

-- The sockets of the server have little room, so that a peer that does not read is soon a slow one.
local function serve(state)
  local listening = assert(socket.bind("127.0.0.1", 0))
  assert(listening:setoption("send-buffer-size", SOCKET_BYTES))
  local topics = {}
  for name, policy in pairs(POLICY) do topics[name] = { slow_consumer = policy } end
  local handler, log = server.recorder()
  local s = server.start({
    socket = listening, protocols = { a = handler }, topics = topics, max_buffered_bytes = MAX_BUFFERED_BYTES,
    high_water_bytes = 16 * KIB,
    on_drop = function(ws, topic, count)
      local one = state.by_ws[ws]
      one.dropped[topic] = (one.dropped[topic] or 0) + count
    end,
  })
  s.port = select(2, listening:getsockname())
  function s.on_stop() listening:close() end
  return s, log
end

local function open(state, is_slow)
  local peer = client.open(state.s, { protocol = "a", prepare = function(connection)
    if is_slow then connection:setoption("recv-buffer-size", SOCKET_BYTES) end
  end })
  local one = {
    peer = peer, ws = state.log.ws[#state.log.ws], is_slow = is_slow, is_stalled = false, topics = {}, count = 0,
    -- What was published to it, by topic; what it got of that; what was dropped.
    expected = {}, got = {}, dropped = {},
  }
  one.ws:on_closed(function(_, code, _, _, why) one.ended = why or code end)
  state.by_ws[one.ws] = one
  state.list[#state.list + 1] = one
  return one
end

local function forget(state, one)
  one.is_gone = true
  for index, other in ipairs(state.list) do
    if other == one then table.remove(state.list, index) end
  end
  for name in pairs(one.topics) do state.subscribers[name] = state.subscribers[name] - 1 end
end

local function note(one, opcode, data)
  if opcode == 8 then
    one.close_code = data:byte(1) * 256 + data:byte(2)
    return
  end
  -- A ping, on a machine that is busy.
  if opcode == 9 then return end
  assert(opcode == 1, "a frame of opcode " .. tostring(opcode))
  local topic = data:match("^[^:]*")
  one.got[topic] = one.got[topic] or {}
  table.insert(one.got[topic], data)
end

-- Takes what is here, of one that does not stall.
local function read(one)
  repeat
    local opcode, data = one.peer:try_message()
    if opcode then note(one, opcode, data) end
  until not opcode
end

local function count(by_topic, topic) return by_topic[topic] and #by_topic[topic] or 0 end

-- One that reads gets each message at once.
local function await_quick(state)
  state.s:pump(function()
    local is_whole = true
    for _, one in ipairs(state.list) do
      if not one.is_slow then
        read(one)
        for topic, list in pairs(one.expected) do is_whole = is_whole and count(one.got, topic) >= #list end
      end
    end
    return is_whole
  end, "what was published")
end

local steps = {}

local function subscribe(state, one, name)
  assert(one.ws:subscribe(name))
  if not one.topics[name] then state.subscribers[name] = state.subscribers[name] + 1 end
  one.topics[name] = true
end

function steps.subscribe(state, random, one) subscribe(state, one, NAMES[random(#NAMES)]) end

function steps.unsubscribe(state, random, one)
  local name = NAMES[random(#NAMES)]
  assert(one.ws:unsubscribe(name) == (one.topics[name] or false), "unsubscribe")
  if one.topics[name] then state.subscribers[name] = state.subscribers[name] - 1 end
  one.topics[name] = nil
end

function steps.publish(state, random, one)
  local name, is_from_one = NAMES[random(#NAMES)], random(3) == 1
  state.number = state.number + 1
  local key = random(3) > 1 and "k" .. random(2) or nil
  local data = ("%s:%s:%d:"):format(name, key or "", state.number) .. ("x"):rep(SIZES[random(#SIZES)])
  if is_from_one then
    assert(one.ws:publish(name, data, nil, { key = key }))
  else
    assert(state.s.context:publish(name, data, nil, { key = key }))
  end
  for _, other in ipairs(state.list) do
    if other.topics[name] and not (is_from_one and other == one) then
      other.expected[name] = other.expected[name] or {}
      table.insert(other.expected[name], data)
    end
  end
end

-- Most of what happens.
steps.publish_much = function(state, random, one)
  for _ = 1, random(8) do
    steps.publish(state, random, one)
    await_quick(state)
  end
end

function steps.read_on(_, random, one)
  if not one.is_slow then return end
  for _ = 1, random(12) do
    local opcode, data = one.peer:try_message()
    if not opcode then break end
    note(one, opcode, data)
  end
end

function steps.replace(state, random, one)
  if random(4) > 1 then return end
  if random(2) == 1 then one.peer:close() else one.peer:reset() end
  forget(state, one)
  state.s:pump(function() return one.ended end, "on_closed")
  open(state, one.is_slow)
end

local ORDER = {
  "subscribe", "subscribe", "unsubscribe", "publish", "publish_much", "publish_much", "read_on", "replace",
}

-- What the policy "close" has ended.
local function note_ends(state)
  for index = #state.list, 1, -1 do
    local one = state.list[index]
    if one.ws:get_socket_fd() == -1 or #one.ws:topics() == 0 and next(one.topics) then
      assert(one.is_slow, "one that reads was ended: " .. tostring(one.ended))
      state.slow = state.slow + 1
      forget(state, one)
      open(state, true)
    end
  end
end

local function check_counts(state)
  for _, name in ipairs(NAMES) do
    local seen, expected = state.s.context:subscribers(name), state.subscribers[name]
    assert(seen == expected, ("%s has %d subscribers, not %d"):format(name, seen, expected))
  end
  for _, one in ipairs(state.list) do
    local listed = {}
    for _, name in ipairs(one.ws:topics()) do
      assert(one.topics[name], "a topic too many: " .. name)
      listed[name] = true
    end
    for name in pairs(one.topics) do assert(listed[name], "a topic is missing: " .. name) end
  end
end

-- With the policy "conflate" a message takes the place of an older one: the order is that of each key.
local function check_order(topic, list, got)
  local places, last = {}, {}
  for place, data in ipairs(list) do places[data] = place end
  for _, data in ipairs(got) do
    local order = POLICY[topic] == "conflate" and data:match(":(.-):") or topic
    assert(places[data], topic .. ": a message that was not published")
    assert(places[data] > (last[order] or 0), topic .. ": a message too late, or twice")
    last[order] = places[data]
  end
end

-- Whether all has come that was not dropped. What the system has may come late, to a small window.
local function is_whole(one)
  read(one)
  for topic, list in pairs(one.expected) do
    if count(one.got, topic) + (one.dropped[topic] or 0) < #list then return false end
  end
  return one.ws:buffered() == 0
end

-- What came is what was published, but for what was dropped.
local function check_messages(one)
  for topic, list in pairs(one.expected) do
    local got = one.got[topic] or {}
    check_order(topic, list, got)
    local dropped = one.dropped[topic] or 0
    assert(#got + dropped == #list, ("%s: %d of %d, %d dropped"):format(topic, #got, #list, dropped))
  end
  for topic in pairs(one.got) do assert(one.expected[topic], "a message of " .. topic) end
end

local function run_case(seed)
  local random = support.random(seed * 104729 % 2147483646 + 1)
  local state = { by_ws = {}, list = {}, subscribers = {}, number = 0, slow = 0 }
  for _, name in ipairs(NAMES) do state.subscribers[name] = 0 end
  state.s, state.log = serve(state)
  for index = 1, QUICK + SLOW do
    local one = open(state, index > QUICK)
    for _, name in ipairs(NAMES) do subscribe(state, one, name) end
  end
  for _ = 1, STEPS do
    steps[ORDER[random(#ORDER)]](state, random, state.list[random(#state.list)])
    state.s:turns(1)
    await_quick(state)
    note_ends(state)
    check_counts(state)
  end
  state.s:pump(function()
    local are_whole = true
    for _, one in ipairs(state.list) do are_whole = is_whole(one) and are_whole end
    return are_whole and inside.backlog(state.s.context) == 0
  end, "all that waits")
  state.s:settle()
  local total = 0
  for _, one in ipairs(state.list) do
    read(one)
    check_messages(one)
  end
  for _, one in pairs(state.by_ws) do
    for _, number in pairs(one.dropped) do total = total + number end
  end
  assert(state.s.context:dropped() == total, "on_drop was told of another number")
  local wrong = inside.find_wrong_topic(state.s.context)
  assert(not wrong, wrong)
  server.stop_all()
  return total, state.slow
end

describe("topics of every policy", function()
  after_each(server.stop_all)

  it("deliver and count the same after any order of steps", function()
    local dropped, slow = 0, 0
    for seed = FIRST_SEED, FIRST_SEED + CASES - 1 do
      local is_good, result, ended = pcall(run_case, seed)
      assert(is_good, ("SEED=%d CASES=1: %s"):format(seed, tostring(result)))
      dropped, slow = dropped + result, slow + ended
    end
    -- Else nothing was proved.
    assert.is_true(CASES < 6 or dropped > 0 and slow > 0, ("%d dropped, %d ended"):format(dropped, slow))
  end)
end)
