--- Subscribers that do not read: each policy of a topic, what is told of drops, and what others get meanwhile.
-- @module spec.behaviour.topic_policies_spec
local client = require("spec.support.client")
local inside = require("spec.support.inside")
local server = require("spec.support.server")
local socket = require("socket")
local websockets = require("websockets")

local unpack = table.unpack or unpack
local BINARY, NO_FIN, CONTINUATION = websockets.WRITE_BINARY, websockets.WRITE_NO_FIN, websockets.WRITE_CONTINUATION
local KIB = 1024
local FILL = ("x"):rep(16 * KIB)
local STALLED_BYTES, MAX_BUFFERED_BYTES = 192 * KIB, 256 * KIB
local SOCKET_BYTES = 32 * KIB
local MESSAGES = 40
-- The default of close_timeout.
local CLOSE_SECONDS = 5

local function numbered(number) return ("%08d"):format(number) .. FILL end

-- A server and clients whose sockets have little room, which does not grow: it would go on taking bytes for a peer that
-- reads nothing.
local function serve(options)
  local listening = assert(socket.bind("127.0.0.1", 0))
  assert(listening:setoption("send-buffer-size", SOCKET_BYTES))
  options.socket = listening
  local s = server.start(options)
  s.port = select(2, listening:getsockname())
  function s.on_stop() listening:close() end
  return s
end

local function open_slow(s, target)
  return client.open(s, { protocol = "a", target = target, prepare = function(connection)
    connection:setoption("recv-buffer-size", SOCKET_BYTES)
  end })
end

-- Fills the system's buffers, and the queue of the connection so far that they never take all of it: Linux gives each
-- twice what was asked for, and may move bytes from one to the other later.
local function stall(s, ws)
  repeat
    s:pump(function()
      ws:write(FILL, BINARY)
      return ws:buffered() > STALLED_BYTES
    end, "a full socket")
    s:calm(ws)
  until ws:buffered() > STALLED_BYTES
end

-- A server with a subscriber of "t" that does not read, and one that does. `dropped` sums up what on_drop is told, by
-- topic, of the first; `others` has of how many other connections it was told.
local function start(options, policy)
  local handler, log = server.recorder(function(ws) ws:subscribe("t") end)
  local told = { dropped = {}, others = 0, calls = 0 }
  options.protocols = { a = handler }
  options.max_buffered_bytes = options.max_buffered_bytes or MAX_BUFFERED_BYTES
  if policy then options.topics = options.topics or { t = { slow_consumer = policy } } end
  function options.on_drop(ws, topic, count)
    told.calls = told.calls + 1
    if ws ~= log.ws[1] then told.others = told.others + 1 end
    topic = topic or "none"
    told.dropped[topic] = (told.dropped[topic] or 0) + count
  end
  local s = serve(options)
  local slow, quick = open_slow(s), client.open(s, "a")
  stall(s, log.ws[1])
  return s, slow, quick, log, told
end

-- Publishes numbered messages, a turn each; the quick subscriber has to get each at once.
local function publish(s, quick, first, last, key_of)
  for number = first, last do
    assert.is_true(s.context:publish("t", numbered(number), BINARY, key_of and { key = key_of(number) }))
    local opcode, data = quick:message()
    assert.same({ 2, number, #FILL + 8 }, { opcode, tonumber(data:sub(1, 8)), #data })
  end
end

-- The next message but those that have filled the buffers.
local function next_message(peer)
  local opcode, data
  repeat opcode, data = peer:message() until data ~= FILL
  return opcode, data
end

local function next_number(peer)
  local opcode, data = next_message(peer)
  assert.same({ 2, #FILL + 8 }, { opcode, #data })
  return tonumber(data:sub(1, 8))
end

-- The numbers that a client gets until one of them comes.
local function numbers(peer, last)
  local list = {}
  repeat list[#list + 1] = next_number(peer) until list[#list] == last
  return list
end

local function assert_rising(list)
  for i = 2, #list do assert.is_true(list[i] > list[i - 1], list[i - 1] .. " before " .. list[i]) end
end

describe("a slow subscriber of a topic with the policy", function()
  after_each(server.stop_all)

  it("close: gets what had begun to leave, then 1013; the others get everything", function()
    for _, how in ipairs({ "topic", "context" }) do
      -- The context has another policy, or the topic has none of its own.
      local s, slow, quick, log, told = start(how == "topic" and { slow_consumer = "drop_old" } or {},
        how == "topic" and "close")
      s:fake_time()
      publish(s, quick, 1, MESSAGES)
      local count = 0
      repeat
        local opcode, data = next_message(slow)
        if opcode == 2 then
          count = count + 1
          assert.equal(count, tonumber(data:sub(1, 8)))
        end
      until opcode == 8
      assert.is_true(count < MESSAGES)
      slow:send_close(1013)
      s:settle()
      s:advance(CLOSE_SECONDS + 0.1)
      assert.equal("", slow:drain())
      s:pump(function() return log.closed[1] end, "on_closed")
      assert.same({ 1013, "", false, "slow" }, { unpack(log.closed[1], 2, 5) })
      assert.equal(1, s.context:subscribers("t"))
      assert.same({ {}, 0 }, { told.dropped, s.context:dropped() })
      s:stop()
    end
  end)

  it("drop_new: misses the newest while its queue is full, and goes on when there is room", function()
    local s, slow, quick, log, told = start({}, "drop_new")
    publish(s, quick, 1, MESSAGES)
    assert.is_true(log.ws[1]:buffered() <= MAX_BUFFERED_BYTES + 2 * #FILL)
    local dropped = s.context:dropped("t")
    assert.is_true(dropped > 0)
    local got = {}
    for i = 1, MESSAGES - dropped do got[i] = next_number(slow) end
    assert_rising(got)
    -- The oldest are there; where the system has made room late, a newer one may be too.
    assert.same({ 1, 2 }, { got[1], got[2] })
    s:pump(function() return log.ws[1]:buffered() == 0 end, "an empty queue")
    publish(s, quick, MESSAGES + 1, MESSAGES + 1)
    assert.same({ MESSAGES + 1 }, numbers(slow, MESSAGES + 1))
    assert.same({ { t = dropped }, dropped, 0 }, { told.dropped, s.context:dropped(), told.others })
  end)

  it("drop_old: misses the oldest that wait, and gets the newest in order", function()
    local s, slow, quick, log, told = start({}, "drop_old")
    publish(s, quick, 1, MESSAGES)
    assert.is_true(log.ws[1]:buffered() <= MAX_BUFFERED_BYTES + 2 * #FILL, log.ws[1]:buffered())
    local got = numbers(slow, MESSAGES)
    assert_rising(got)
    local dropped = s.context:dropped("t")
    assert.equal(MESSAGES, #got + dropped)
    assert.is_true(dropped > 0)
    assert.equal(dropped + 1, got[1])
    publish(s, quick, MESSAGES + 1, MESSAGES + 5)
    assert.equal(5, #numbers(slow, MESSAGES + 5))
    assert.same({ { t = dropped }, 0, 0 }, { told.dropped, told.others, inside.backlog(s.context) })
    assert.is_true(told.calls <= MESSAGES)
  end)

  it("conflate: gets the newest of each key, and of what waits nothing else", function()
    local KEYS = 3
    local s, slow, quick, log, told = start({ max_buffered_bytes = 384 * KIB }, "conflate")
    publish(s, quick, 1, MESSAGES, function(number) return "key " .. number % KEYS end)
    assert.is_true(log.ws[1]:buffered() <= STALLED_BYTES + (KEYS + 3) * #FILL, log.ws[1]:buffered())
    local total, by_key, newest = 0, {}, {}
    repeat
      local number = next_number(slow)
      local key = number % KEYS
      total = total + 1
      by_key[key] = by_key[key] or {}
      by_key[key][#by_key[key] + 1] = number
      if number > MESSAGES - KEYS then newest[#newest + 1] = number end
    until #newest == KEYS
    for key = 0, KEYS - 1 do assert.same(1, #by_key[key]) end
    assert.equal(MESSAGES, total + s.context:dropped("t"))
    assert.same({ { t = s.context:dropped("t") }, 0 }, { told.dropped, told.others })
    s:settle()
    assert.is_nil(slow:try_message())
    assert.equal(0, inside.backlog(s.context))
  end)

  it("conflate without a key: the whole topic is one", function()
    local s, slow, quick = start({}, "conflate")
    publish(s, quick, 1, MESSAGES)
    local got = numbers(slow, MESSAGES)
    assert_rising(got)
    assert.same({ { MESSAGES }, MESSAGES - 1 }, { got, s.context:dropped("t") })
  end)

  it("conflate with more keys than there is room for: the oldest go", function()
    local s, slow, quick, log = start({}, "conflate")
    publish(s, quick, 1, MESSAGES, tostring)
    assert.is_true(log.ws[1]:buffered() <= MAX_BUFFERED_BYTES + 2 * #FILL)
    local got = numbers(slow, MESSAGES)
    assert_rising(got)
    assert.equal(MESSAGES, #got + s.context:dropped("t"))
  end)
end)

describe("the policy of a topic", function()
  after_each(server.stop_all)

  it("comes from a function, asked when the topic gets its first subscriber", function()
    local asked = {}
    local s, slow, quick, log = start({ topics = function(name)
      asked[#asked + 1] = name
      return { slow_consumer = "drop_old" }
    end }, "")
    assert.same({ "t" }, asked)
    publish(s, quick, 1, MESSAGES)
    assert.is_true(#numbers(slow, MESSAGES) < MESSAGES)
    assert.equal(0, #log.closed)
    for _, ws in ipairs(log.ws) do ws:unsubscribe("t") end
    log.ws[1]:subscribe("t")
    assert.same({ "t", "t" }, asked)
  end)

  it("is that of the context where there is none of its own, whatever a route says", function()
    local handler, log = server.recorder(function(ws) ws:subscribe("t") end)
    local s = serve({
      slow_consumer = "drop_old", max_buffered_bytes = MAX_BUFFERED_BYTES,
      routes = { ["/a"] = { protocols = { a = handler }, slow_consumer = "close" } },
    })
    local peer = open_slow(s, "/a")
    stall(s, log.ws[1])
    for number = 1, MESSAGES do
      s.context:publish("t", numbered(number), BINARY)
      s:turns(1)
    end
    assert.equal(MESSAGES, #numbers(peer, MESSAGES) + s.context:dropped("t"))
    assert.equal(0, #log.closed)
  end)

  it("is close after an error of the function, which on_error hears", function()
    local errors = {}
    local s, slow, quick = start({
      on_error = function(err) errors[#errors + 1] = err end,
      topics = function() return { slow_consumer = "slowly" } end,
    }, "")
    assert.equal(1, #errors)
    assert.matches("bad option 'topics%['t'%].slow_consumer'", errors[1])
    publish(s, quick, 1, MESSAGES)
    assert.equal(8, (function()
      local opcode
      repeat opcode = next_message(slow) until opcode == 8
      return opcode
    end)())
  end)

  it("touches nothing but that topic: other topics, broadcasts and writes all come, in their order", function()
    for _, policy in ipairs({ "drop_old", "conflate" }) do
      local s, slow, quick, log = start({ max_buffered_bytes = 64 * KIB * KIB }, policy)
      -- Only the policy makes drop_old drop: this much has room otherwise.
      log.ws[1]:subscribe("other")
      local sent = 0
      for number = 1, MESSAGES do
        publish(s, quick, number, number)
        sent = sent + 3
        s.context:publish("other", "other " .. number)
        log.ws[1]:write("written " .. number)
        log.ws[1]:on_broadcast(websockets.WRITE_TEXT)
        s.context:broadcast("a", "broadcast " .. number)
        assert.same({ 1, "broadcast " .. number }, { quick:message() })
      end
      local last, got = { other = 0, written = 0, broadcast = 0 }, 0
      repeat
        local opcode, data = next_message(slow)
        if opcode == 1 then
          local word, number = data:match("^(%a+) (%d+)$")
          assert.equal(last[word] + 1, tonumber(number))
          last[word] = tonumber(number)
          got = got + 1
        end
      until got == sent
      s:stop()
    end
  end)

  it("lets what waits leave after a message in fragments, and nothing in between", function()
    local s, slow, quick, log = start({}, "conflate")
    publish(s, quick, 1, MESSAGES)
    local ws = log.ws[1]
    assert.equal(0, ws:write("begun ", websockets.WRITE_TEXT + NO_FIN))
    assert.is_true(inside.backlog(s.context) > 0)
    local got = 0
    s:pump(function()
      slow:poll()
      return ws.wire:buffered() == 0
    end, "an empty queue")
    assert.is_true(inside.backlog(s.context) > 0)
    assert.equal(0, ws:write("ended", CONTINUATION))
    local seen = {}
    repeat
      local opcode, data = next_message(slow)
      if opcode == 1 then seen[#seen + 1] = data else got = tonumber(data:sub(1, 8)) end
    until got == MESSAGES
    assert.same({ "begun ended" }, seen)
  end)

  it("has what waits leave before our close frame", function()
    local s, slow, quick, log = start({ max_buffered_bytes = 384 * KIB }, "conflate")
    publish(s, quick, 1, MESSAGES, function(number) return tostring(number % 2) end)
    assert.is_true(inside.backlog(s.context) > 0)
    log.ws[1]:close(1000, "done")
    assert.equal(0, inside.backlog(s.context))
    local last = {}
    repeat
      local opcode, data = next_message(slow)
      if opcode == 2 then last[#last + 1] = tonumber(data:sub(1, 8)) end
    until opcode == 8
    table.sort(last)
    assert.same({ MESSAGES - 1, MESSAGES }, { last[#last - 1], last[#last] })
  end)

  it("frees what waits with the connection, however that ends", function()
    for _, how in ipairs({ "close", "reset" }) do
      local s, slow, quick, log = start({}, "drop_old")
      publish(s, quick, 1, MESSAGES)
      assert.is_true(inside.backlog(s.context) > 0)
      if how == "close" then log.ws[1]:close(0) else slow:reset() end
      s:pump(function() return log.closed[1] end, "on_closed")
      assert.equal(0, inside.backlog(s.context))
      s:stop()
    end
  end)

  it("counts what waits in ws:buffered, and on_drain comes when all has left", function()
    local drained = 0
    local s, slow, quick, log = start({}, "drop_old")
    log.ws[1]:on_drain(function(ws)
      drained = drained + 1
      assert.equal(0, ws:buffered())
      assert.equal(0, inside.backlog(s.context))
    end)
    publish(s, quick, 1, MESSAGES)
    assert.is_true(log.ws[1]:buffered() > inside.backlog(s.context))
    assert.equal(0, drained)
    numbers(slow, MESSAGES)
    s:settle()
    assert.equal(1, drained)
  end)

  it("keeps the order of a topic that is published to while what waits is leaving", function()
    -- Parts of one message: in a turn that has sent one the socket is not full, and others still wait.
    local s, slow, quick, log = start({ max_buffered_bytes = 512 * KIB, high_water_bytes = 1 }, "drop_old")
    publish(s, quick, 1, MESSAGES)
    local last, got = MESSAGES, {}
    log.ws[2]:on_receive(function()
      last = last + 1
      s.context:publish("t", numbered(last), BINARY, { except = log.ws[2] })
    end)
    repeat
      if last < MESSAGES + 60 then quick:text("publish") end
      got[#got + 1] = next_number(slow)
    until got[#got] >= MESSAGES + 60
    assert_rising(got)
    assert.equal(got[#got], #got + s.context:dropped("t"))
  end)

  it("keeps to max_buffered_total_bytes, the largest first", function()
    local handler, log = server.recorder(function(ws) ws:subscribe("t") end)
    local s = serve({
      protocols = { a = handler }, max_buffered_bytes = 64 * KIB * KIB, max_buffered_total_bytes = 1024 * KIB,
      topics = { t = { slow_consumer = "drop_old" } },
    })
    local peers = {}
    for i = 1, 4 do
      peers[i] = open_slow(s)
      stall(s, log.ws[i])
    end
    for number = 1, MESSAGES do
      s.context:publish("t", numbered(number), BINARY)
      s:turns(1)
      assert.is_true(inside.backlog(s.context) <= 1024 * KIB)
    end
    assert.is_true(inside.backlog(s.context) + inside.buffered(s.context) <= 2 * 1024 * KIB)
    assert.equal(0, #log.closed)
    assert.is_true(s.context:dropped("t") > 0)
    local total = 0
    for i = 1, 4 do total = total + #numbers(peers[i], MESSAGES) end
    assert.equal(4 * MESSAGES, total + s.context:dropped("t"))
  end)
end)

describe("on_drop", function()
  after_each(server.stop_all)

  it("is told of broadcasts that were dropped, without a topic; write tells its caller", function()
    for _, policy in ipairs({ "drop_new", "drop_old" }) do
      local s, _, _, log, told = start({ slow_consumer = policy })
      log.ws[1]:on_broadcast(BINARY)
      log.ws[2]:on_broadcast(function() end)
      for number = 1, MESSAGES do
        assert.equal(0, s.context:broadcast("a", numbered(number)))
        s:turns(1)
      end
      local dropped = told.dropped.none
      assert.is_true(dropped > 0 and dropped < MESSAGES)
      assert.same({ dropped, 0 }, { s.context:dropped(), told.others })
      if policy == "drop_new" then
        assert.same({ -1, "full" }, { log.ws[1]:write(FILL) })
        s:turns(1)
        assert.equal(dropped, told.dropped.none)
      end
      s:stop()
    end
  end)

  it("may publish, and close the connection", function()
    local s, slow, quick, log = start({}, "drop_old")
    local real = inside.settings(s.context).on_drop
    local context, published = s.context, 0
    context.agenda.drops.handler = function(ws, ...)
      real(ws, ...)
      published = published + 1
      if published == 1 then
        context:publish("note", "dropped")
        ws:close(4000, "too slow")
      end
    end
    log.ws[2]:subscribe("note")
    for number = 1, MESSAGES do
      context:publish("t", numbered(number), BINARY)
      s:turns(1)
      quick:poll()
    end
    local code
    repeat
      local opcode, data = next_message(slow)
      if opcode == 8 then code = data:byte(1) * 256 + data:byte(2) end
    until code
    assert.equal(4000, code)
    local note
    repeat
      local opcode, data = quick:message()
      note = opcode == 1 and data
    until note
    assert.equal("dropped", note)
  end)

  it("does not keep the others waiting where it publishes to the peer that does not read", function()
    local s, _, quick = start({}, "drop_new")
    local context, calls = s.context, 0
    context.agenda.drops.handler = function()
      calls = calls + 1
      if calls < 1000 then context:publish("t", FILL, BINARY) end
    end
    local number = 0
    repeat
      number = number + 1
      context:publish("t", numbered(number), BINARY)
      s:turns(1)
      quick:poll()
    until calls > 3
    assert.is_true(calls < 1000)
    context.agenda.drops.handler = function() end
    context:publish("t", "last", BINARY)
    local data
    repeat data = select(2, quick:message()) until data == "last"
  end)
end)
