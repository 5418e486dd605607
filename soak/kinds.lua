--- What the connections of the soak do: each kind is a function that gets its connection, and its share of all.
-- @module soak.kinds
local engine = require("websockets.engine.pure")
local support = require("spec.support.engine")

local kinds = {}

local random = math.random
local KEY = "\17\238\3\128"
local REQUEST = "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
  .. "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: %s\r\n"
local UPGRADE = REQUEST:format("echo")
local PATIENCE_SECONDS, STEP_SECONDS = 60, 0.2

-- Masking in plain Lua takes long, so each frame is made once and sent often.
local made = {}

local function frame(opcode, payload, fin)
  local name = opcode .. tostring(fin) .. payload
  made[name] = made[name] or support.frame({ opcode = opcode, payload = payload, fin = fin, key = KEY })
  return made[name]
end

-- RFC 7692 7.2.3.1: "Hello", compressed; the first bit of the frame's reserved ones is set.
local HELLO = "\193\135" .. KEY .. support.mask("\242\72\205\201\201\7\0", KEY)

-- Waits until a condition holds; nil where the connection ends or takes too long.
local function await(one, condition)
  for _ = 1, PATIENCE_SECONDS / STEP_SECONDS do
    local found = condition()
    if found then return found end
    local goes_on = one.fill()
    found = condition()
    if found or not goes_on then return found end
    one.pause(STEP_SECONDS)
  end
end

local function open(one, offer, protocol)
  if not one.send((protocol and REQUEST:format(protocol) or UPGRADE) .. (offer or "") .. "\r\n") then return false end
  local stop = await(one, function() return select(2, one.buffer:find("\r\n\r\n", 1, true)) end)
  if not stop then return false end
  local is_open = one.buffer:find("^HTTP/1.1 101 ") ~= nil
  one.buffer = one.buffer:sub(stop + 1)
  one.reader = engine.reader({ role = "client", max_message_bytes = 2 ^ 24, max_fragments = 1000 })
  one.batch, one.inbox = {}, {}
  return is_open
end

-- The next message that is no ping; those are answered.
local function message(one)
  return await(one, function()
    local count = one.reader:feed(one.buffer, one.batch)
    one.buffer = ""
    for i = 1, 2 * count do one.inbox[#one.inbox + 1] = one.batch[i] end
    while one.inbox[1] do
      local opcode, payload = table.remove(one.inbox, 1), table.remove(one.inbox, 1)
      if opcode ~= 9 then return { opcode, payload } end
      one.send(frame(10, payload))
    end
  end)
end

local function expect(one, opcode, payload)
  local got = message(one)
  if not got then error("no answer", 0) end
  if got[1] ~= opcode or (payload and got[2] ~= payload) then error("a wrong answer: " .. got[1], 0) end
end

local function leave(one)
  one.send(frame(8, "\3\232"))
  expect(one, 8)
end

local TEXTS = { "x", "caf\195\169 \226\130\172", "hello", ("words "):rep(30), ("long "):rep(3000) }

local function talk(one)
  if not open(one) then error("not opened", 0) end
  for _ = 1, random(12) do
    local text = TEXTS[random(#TEXTS)]
    local way = random(4)
    if way == 1 then
      one.send(frame(2, text))
      expect(one, 2, text)
    elseif way == 2 then
      one.send(frame(1, text, false) .. frame(9, "p") .. frame(0, text, false))
      one.pause(random())
      one.send(frame(0, text))
      expect(one, 10, "p")
      expect(one, 1, text .. text .. text)
    else
      one.send(frame(1, text):rep(2))
      expect(one, 1, text)
      expect(one, 1, text)
    end
    one.pause(0.5 + 4 * random())
  end
  if random(2) == 1 then return leave(one) end
  one.send(frame(1, "close"))
  expect(one, 8)
  one.send(frame(8, "\3\232"))
end

local function compressed(one)
  if not open(one, "Sec-WebSocket-Extensions: permessage-deflate\r\n") then error("not opened", 0) end
  for _ = 1, random(8) do
    -- Without compression the server takes this for a breach of the protocol, and closes with a code that says so.
    if not one.send(HELLO:rep(3)) then return end
    one.pause(1 + 2 * random())
    one.fill()
    one.buffer = ""
  end
end

-- Answers pings, until the server finds that it is idle.
local function idle(one)
  if not open(one) then error("not opened", 0) end
  for _ = 1, 3 do if not message(one) then return end end
end

local function deaf(one)
  if not open(one) then return end
  one.pause(5 + 30 * random())
end

-- The text that is no UTF-8 comes first, so that the tables for UTF-8, which are made on first use, are there early.
local BREACHES = {
  frame(1, "\255\254"), "\129\5hello", "\255\255\255\255", frame(3, "x"), frame(9, "x", false), frame(0, "x"),
  frame(8, "\3"), "\130\255\255\255\255\255\255\255\255\255" .. KEY, "\129\255\0\0\0\0\0\0\0\5" .. KEY .. "hello",
  frame(2, "x", false):rep(70), "\130\255\0\0\0\0\0\17\0\0" .. KEY,
}

local last_breach = 0

local function breach(one)
  if not open(one) then error("not opened", 0) end
  last_breach = last_breach % #BREACHES + 1
  one.send(BREACHES[last_breach])
  local got = message(one)
  while got and got[1] ~= 8 do got = message(one) end
  if not got then error("no close frame", 0) end
  if random(2) == 1 then one.pause(random(5)) end
end

local function half(one)
  local bytes = UPGRADE:sub(1, random(#UPGRADE))
  for i = 1, #bytes, 40 do
    if not one.send(bytes:sub(i, i + 39)) then return end
    one.pause(random())
  end
  one.pause(random(8))
end

local GARBAGE = {
  "nonsense\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "GET /" .. ("a"):rep(3000) .. " HTTP/1.1\r\n\r\n",
  "GET / HTTP/1.1\r\nHost: x\r\n" .. ("A: b\r\n"):rep(50) .. "\r\n", "\0\1\2\3\255\r\n\r\n",
  "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
  "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999\r\n\r\n",
}

local function bad_http(one)
  one.send(GARBAGE[random(#GARBAGE)])
  await(one, function() return one.buffer:find("^HTTP/1.1 [45]%d%d ") end)
  if random(2) == 1 then one.pause(random(6)) end
end

local function http(one)
  for _ = 1, random(4) do
    if not one.send("POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n01234") then return end
    one.pause(random())
    one.send("56789")
    if not await(one, function() return one.buffer:find("\r\n\r\n0123456789", 1, true) end) then return end
    one.buffer = ""
    one.pause(2 * random())
  end
end

local function slow_body(one)
  one.send("POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 50000\r\n\r\n")
  for _ = 1, random(12) do
    if not one.send(("x"):rep(100)) then return end
    one.pause(1)
  end
end

local function file(one)
  one.send("GET /file HTTP/1.1\r\nHost: x\r\n\r\n")
  for _ = 1, 10 do
    if not one.fill(500) then return end
    one.buffer = ""
    one.pause(random())
  end
end

-- Asks for large answers, and reads little of them or nothing.
local function slow_reader(one)
  if not open(one) then return end
  local step = random(2) == 1 and 1000 or 0
  for _ = 1, 20 do
    if not one.send(frame(1, "much")) then return end
    if step > 0 then one.fill(step) end
    one.buffer = ""
    one.pause(0.5)
  end
end

-- An unfinished message that grows by a byte at a time.
local function dripping(one)
  if not open(one) then return end
  one.send(frame(1, "begun", false) .. frame(1, ("x"):rep(2000)):sub(1, 500))
  for _ = 1, 20 do
    if not one.send("x") then return end
    one.pause(0.5)
  end
end

local function vanish(one)
  if random(3) > 1 and not open(one) then return end
  local bytes = frame(2, ("x"):rep(200))
  one.send(bytes:sub(1, random(#bytes)))
  if random(2) == 1 then one.reset() end
end

local function half_closed(one)
  if not open(one) then return end
  one.send(frame(1, "much"))
  one.finish()
  one.pause(random(3))
end

-- Sends a command, and reads published messages until the answer to the command comes. In topics with short messages a
-- subscriber gets its own message before the answer to publishing it, and no message after it has left the topic.
local function order(one, command, topic, topics)
  one.send(frame(1, command .. " " .. topic))
  local has_own = false
  while true do
    local got = message(one)
    if not got then error("no answer to " .. command, 0) end
    if got[1] ~= 1 then return false end
    local about = got[2]:match("^news (%l+_?%l*%-%d)")
    if not about then
      if got[2] ~= "done" then error("not done: " .. command .. " " .. topic .. ": " .. got[2], 0) end
      if command == "pub" and topics[topic] and topic:find("^plain") and not has_own then
        error("a subscriber has not got what it published", 0)
      end
      return true
    end
    if not topics[about] and not (command ~= "pub" and about == topic) then
      error("a message of a topic that was left", 0)
    end
    has_own = has_own or about == topic
  end
end

local PLAIN, KINDS = { "plain-1", "plain-2", "plain-3", "plain-4", "kept-1", "kept-2" },
  { "close-1", "drop_new-1", "drop_new-2", "drop_old-1", "drop_old-2", "conflate-1", "conflate-2" }

-- Subscribes to topics, publishes, and leaves them.
local function subscriber(one, names, protocol)
  if not open(one, nil, protocol) then error("not opened", 0) end
  local topics = {}
  for _ = 1, random(16) do
    local topic, way = names[random(#names)], random(3)
    local command = way == 1 and "pub" or topics[topic] and way == 2 and "unsub" or "sub"
    if not order(one, command, topic, topics) then return end
    if command ~= "pub" then topics[topic] = command == "sub" or nil end
    one.pause(0.5 + 2 * random())
  end
  -- About half of the connections end while they are still subscribed.
  if random(2) == 1 then
    one.send(frame(8, "\3\232"))
    local got
    repeat got = message(one) until not got or got[1] == 8
    if not got then error("no close frame", 0) end
  end
end

local has_waited = false

-- The first connection is answered by a function that waits, for the reason that `choose` gives.
local function plain(one)
  local protocol = (not has_waited or random(4) == 1) and "wait" or nil
  has_waited = true
  subscriber(one, PLAIN, protocol)
end

-- Publishes much in topics of which some subscribers read little or nothing.
local function publisher(one)
  if not open(one) then return end
  for _ = 1, 30 do
    if not one.send(frame(1, "pub " .. KINDS[random(#KINDS)])) then return end
    one.fill()
    one.buffer = ""
    one.pause(random())
  end
end

local function slow_subscriber(one)
  if not open(one) then return end
  for _, topic in ipairs(KINDS) do one.send(frame(1, "sub " .. topic)) end
  local step = random(3)
  for _ = 1, 60 do
    if step > 1 then one.fill(step * 2000) end
    one.buffer = ""
    one.pause(0.5)
  end
end

-- The share of each kind, in percent.
local SHARES = {
  { 22, "talk", talk }, { 8, "compressed", compressed }, { 12, "idle", idle }, { 10, "subscriber", plain },
  { 3, "publisher", publisher }, { 5, "slow subscriber", slow_subscriber }, { 5, "deaf", deaf },
  { 7, "breach", breach }, { 5, "half", half }, { 4, "bad http", bad_http }, { 4, "http", http },
  { 2, "slow body", slow_body }, { 2, "file", file }, { 3, "slow reader", slow_reader }, { 2, "dripping", dripping },
  { 4, "vanish", vanish }, { 2, "half closed", half_closed },
}

local first = 0

--- Chooses what the next connection does: first each kind once, then by their shares. So the server has loaded
-- everything that it loads on first use when the first wave is over.
-- @treturn string name
-- @treturn function `work(one)`; an error in it is a fault of the server
function kinds.choose()
  first = first + 1
  if SHARES[first] then return SHARES[first][2], SHARES[first][3] end
  local dice = random(100)
  for _, share in ipairs(SHARES) do
    dice = dice - share[1]
    if dice <= 0 then return share[2], share[3] end
  end
end

return kinds
