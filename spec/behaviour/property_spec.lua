--- Any messages, cut into any frames and chunks, with control frames between, compressed or not, to callbacks that
-- raise and pause: each message arrives once, whole, in order.
--
-- SEED begins with other cases (1), CASES runs more of them (12 of each kind). A failure names its seed.
-- @module spec.behaviour.property_spec
local client = require("spec.support.client")
local compressed = require("spec.support.compressed")
local peer = require("spec.support.peer")
local server = require("spec.support.server")
local support = require("spec.support.engine")

local engine = require("websockets.engine.loader").choose()

local FIRST_SEED, CASES = tonumber(os.getenv("SEED") or 1), tonumber(os.getenv("CASES") or 12)
local CONNECTIONS = 3
local TEXT, PING, PONG, CLOSE = 1, 9, 10, 8
local COMPRESSED = 4
local SIZES = { 0, 1, 2, 7, 64, 125, 126, 127, 300, 4000, 65535, 65536, 90000 }
local WORDS = { "a", "\0", "hello ", "\195\164", "\226\130\172", "\240\159\152\128", "\244\143\191\191" }

local function make_message(random)
  local is_text, size = random(2) == 1, SIZES[random(random(3) == 1 and #SIZES or 9)]
  local parts = {}
  for index = 1, 8 do parts[index] = is_text and WORDS[random(#WORDS)] or string.char(random(256) - 1) end
  local data = table.concat(parts)
  return { opcode = is_text and TEXT or 2, data = size == 0 and "" or data:rep(math.ceil(size / #data)) }
end

-- Adds frames and what the peer must say to them.
local function add_frames(random, link, message)
  local opcode, payload, rsv = message.opcode, message.data, 0
  if link.deflater and random(2) == 1 then payload, rsv = assert(link.deflater:deflate(payload)), COMPRESSED end
  local from = 1
  repeat
    local last = random(3) > 1 and #payload or math.min(#payload, from + random(#payload + 1) - 2)
    link.frames[#link.frames + 1] = link.frame { opcode = opcode, payload = payload:sub(from, last), rsv = rsv,
      fin = last == #payload }
    if random(4) == 1 then
      link.pings[#link.pings + 1] = "ping " .. random(1000)
      link.frames[#link.frames + 1] = link.frame { opcode = PING, payload = link.pings[#link.pings] }
    end
    if random(6) == 1 then link.frames[#link.frames + 1] = link.frame { opcode = PONG, payload = "unasked" } end
    opcode, rsv, from = 0, 0, last + 1
  until last == #payload
end

-- A masking key of zeros where frames are long: masking in plain Lua takes its time.
local function masked(options)
  options.key = "\17\238\3\128"
  if #options.payload < 1000 then return support.frame(options) end
  options.key = nil
  local bytes = support.frame(options)
  local header = #bytes - #options.payload
  return bytes:sub(1, 1) .. string.char(bytes:byte(2) + 128) .. bytes:sub(3, header) .. "\0\0\0\0" .. options.payload
end

-- A connection whose peer is raw: `ws`, `send`, `message`, `frame`.
local links = {}

function links.server(s, log, extensions)
  local c = client.open(s, { protocol = "a", headers = extensions and compressed.OFFER })
  return { ws = log.ws[#log.ws], frame = masked, send = function(bytes) c:send(bytes) end,
    message = function() return c:message() end, finish = function() c:close() end }
end

function links.client(s, _, extensions)
  local p = peer.listen(s)
  local is_open
  local ws = s.context:connect(("ws://127.0.0.1:%d/"):format(p.port), { compression = extensions or false })
  ws:on_open(function() is_open = true end)
  p:accept(extensions and { ["Sec-WebSocket-Extensions"] = "permessage-deflate" })
  s:pump(function() return is_open end, "on_open")
  local inbox, batch, at = {}, {}, 0
  local function message()
    s:pump(function()
      p:poll()
      local count = p.reader:feed(p.buffer, batch)
      p.buffer = ""
      for index = 1, 2 * count do inbox[#inbox + 1] = batch[index] end
      return inbox[at + 1]
    end, "a frame")
    at = at + 2
    return inbox[at - 1], inbox[at]
  end
  return { ws = ws, frame = support.frame, send = function(bytes) p:send(bytes) end, message = message,
    finish = function() p:close() end }
end

local function watch(random, link, state)
  link.got, link.closed, link.expected, link.frames, link.pings = {}, {}, {}, {}, {}
  link.ws:on_receive(function(ws, data, kind)
    link.got[#link.got + 1] = { opcode = kind + 1, data = data }
    assert(not link.is_paused, "a message to a connection that is paused")
    local action = random(8)
    if action <= 2 then
      link.is_paused = true
      ws:rx_flow_control(false)
    end
    if action == 2 or action == 3 then
      state.raised = state.raised + 1
      error("raised by the spec", 0)
    end
  end)
  link.ws:on_closed(function(_, ...) link.closed[#link.closed + 1] = { ... } end)
end

local function resume(link)
  if not link.is_paused then return end
  link.is_paused = false
  link.ws:rx_flow_control(true)
end

-- Where chunks end; there are never thousands of them.
local function cut(random, size)
  local ends, at = {}, 0
  local most = math.max(({ 1, 7, 100, 4000, 100000 })[random(5)], math.ceil(size / 100))
  while at < size do
    at = math.min(size, at + random(most))
    ends[#ends + 1] = at
  end
  return ends
end

local function send_in_chunks(random, s, all)
  local waiting = {}
  for _, link in ipairs(all) do
    link.bytes = table.concat(link.frames)
    link.ends, link.at, link.from = cut(random, #link.bytes), 1, 1
    waiting[#waiting + 1] = link
  end
  while waiting[1] do
    local index = random(#waiting)
    local link = waiting[index]
    if link.ends[link.at] then
      link.send(link.bytes:sub(link.from, link.ends[link.at]))
      link.from, link.at = link.ends[link.at] + 1, link.at + 1
    else
      table.remove(waiting, index)
    end
    if random(2) == 1 then s:turns(random(3)) end
    if random(3) == 1 then resume(all[random(#all)]) end
  end
end

local function check(s, link)
  s:pump(function()
    resume(link)
    return #link.got >= #link.expected or link.closed[1]
  end, "all messages")
  resume(link)
  for index, message in ipairs(link.expected) do
    local got = link.got[index] or {}
    assert(got.opcode == message.opcode and got.data == message.data, "message " .. index .. " is another")
  end
  for _, payload in ipairs(link.pings) do
    local opcode, data = link.message()
    assert(opcode == PONG and data == payload, "another pong than that of " .. payload)
  end
  link.send(link.frame { opcode = CLOSE, payload = "\3\232" })
  assert(link.message() == CLOSE)
  link.finish()
  s:pump(function()
    resume(link)
    return link.closed[1]
  end, "on_closed")
  s:settle()
  assert(#link.got == #link.expected, "more messages than were sent")
  assert(#link.closed == 1 and link.closed[1][1] == 1000 and link.closed[1][3] == true, "another end")
end

local function run_case(seed, role, extensions)
  local random = support.random(seed * 104729 % 2147483646 + 1)
  local state = { raised = 0, told = 0 }
  local handler, log = server.recorder()
  local s = server.start({ protocols = { a = handler }, compression = extensions,
    on_error = function() state.told = state.told + 1 end })
  local all = {}
  for index = 1, CONNECTIONS do
    local link = links[role](s, log, extensions)
    watch(random, link, state)
    link.deflater = extensions and engine.deflater({ window_bits = 15, level = 6 })
    for number = 1, random(10) do
      link.expected[number] = make_message(random)
      add_frames(random, link, link.expected[number])
    end
    all[index] = link
  end
  send_in_chunks(random, s, all)
  for _, link in ipairs(all) do check(s, link) end
  assert(state.told == state.raised, "on_error was told of another number of errors")
  server.stop_all()
end

describe("messages of any kind, cut anywhere,", function()
  after_each(server.stop_all)

  for _, role in ipairs({ "server", "client" }) do
    for name, extensions in pairs({ plain = false, compressed = true }) do
      local it_can = extensions and not compressed.is_available() and pending or it
      it_can("arrive once, whole, in order: " .. name .. ", at a " .. role, function()
        for seed = FIRST_SEED, FIRST_SEED + CASES - 1 do
          local is_good, err = pcall(run_case, seed, role, extensions)
          assert(is_good, ("SEED=%d CASES=1: %s"):format(seed, tostring(err)))
        end
      end)
    end
  end
end)
