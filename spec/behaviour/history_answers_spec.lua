--- Topics with a history in Redis: servers that answer otherwise than Redis does, connections that end while the server
-- is away, ids that a peer has invented.
-- @module spec.behaviour.history_answers_spec
local client = require("spec.support.client")
local fake_redis = require("spec.support.fake_redis")
local server = require("spec.support.server")

local NO_ENTRIES = "*3\r\n$0\r\n\r\n:1\r\n*0\r\n"
local ID = "1700000000000-0"

local fake

-- A context whose back plane is the fake server, which answers EVAL as `answer` says.
local function start(answer, topics)
  local joined, reported = {}, {}
  fake = fake_redis.new(function(words, it)
    if words[1] == "EVAL" then return answer(words, it) end
    return fake_redis.usual(words)
  end)
  local handler, log = server.recorder()
  local s = server.start({
    default = handler, topics = topics or { t = { history = {} } },
    on_error = function(err) reported[#reported + 1] = err end,
    backplane = {
      url = "redis://127.0.0.1:" .. fake.port, reconnect = { min = 0.01, max = 0.01, jitter = 0 },
    },
  })
  local turn = s.turn
  function s.turn(...)
    fake:step()
    return turn(...)
  end
  s.log, s.joined, s.reported = log, joined, reported
  function s.on_joined(_, _, is_complete, last) joined[#joined + 1] = { is_complete, last } end
  assert.same({}, s.context:presence("none"))
  s:pump(function() return s.context.pubsub.plane.carrier:is_ready() end, "the back plane")
  return s
end

local function bulk(text) return "$" .. #text .. "\r\n" .. text .. "\r\n" end

-- An answer with one entry.
local function page(entry, last)
  local parts = { "*3\r\n", bulk(last or ID), ":1\r\n*", #entry, "\r\n" }
  for _, one in ipairs(entry) do parts[#parts + 1] = one end
  return table.concat(parts)
end

local function entry(changes)
  local made = { bulk(ID), bulk(""), bulk("publisher---"), bulk("1"), bulk("A"), bulk("text") }
  for place, one in pairs(changes) do made[place] = one end
  return made
end

local function join(s, since)
  local peer = client.open(s)
  local ws = s.log.ws[#s.log.ws]
  assert.is_true(ws:subscribe("t", { since = since, on_joined = s.on_joined }))
  return peer, ws
end

describe("a history in Redis", function()
  after_each(function()
    server.stop_all()
    if fake then fake:close() end
    fake = nil
  end)

  it("is incomplete where the server answers anything else, and everything goes on", function()
    local answers = {
      "+OK\r\n", ":5\r\n", "$-1\r\n", "*0\r\n", "-ERR no\r\n", "-MOVED 1 127.0.0.1:1\r\n", "#t\r\n",
      "%1\r\n+a\r\n+b\r\n", "*3\r\n:1\r\n:1\r\n*0\r\n", "*3\r\n$1\r\nx\r\n:1\r\n*0\r\n", "*3\r\n$0\r\n\r\n:1\r\n:1\r\n",
      page({ bulk(ID) }), page(entry({}), "1-x"),
    }
    for place = 1, 6 do
      for _, wrong in ipairs({ ":1\r\n", "*0\r\n", "$-1\r\n", "#t\r\n" }) do
        answers[#answers + 1] = page(entry({ [place] = wrong }))
      end
    end
    for _, place in ipairs({ 1, 2, 4 }) do
      for _, wrong in ipairs({ "x", "1", "1-", "-1", "nan", "1e5", ("9"):rep(40) .. "-1", "\0" }) do
        if place < 4 or not wrong:find("^1$") then answers[#answers + 1] = page(entry({ [place] = bulk(wrong) })) end
      end
    end
    local now
    local s = start(function(words) return words[6] == "-" and now or NO_ENTRIES end)
    local peer, ws = client.open(s), s.log.ws[1]
    for i, answer in ipairs(answers) do
      now = answer
      assert.is_true(ws:subscribe("t", { since = "all", on_joined = s.on_joined }))
      s:pump(function() return #s.joined == i end, "on_joined after " .. answer)
      assert.is_false(s.joined[i][1], answer)
    end
    assert.same({}, s.reported)
    assert.is_nil(peer:try_message())
  end)

  it("is named in one line where it cannot be read, whatever is in its name and in the answer", function()
    local name = 'a\nb\27"'
    local answer = bulk("ERR one\nerror: two\27[2J"):gsub("^%$", "!")
    local s = start(function() return answer end, { [name] = { history = {} } })
    client.open(s)
    assert.is_true(s.log.ws[1]:subscribe(name))
    s:pump(function() return s.reported[1] end, "on_error")
    assert.equal([[back plane: the history of "a\nb\027\"" cannot be read: ERR one\nerror: two\027[2J]],
      s.reported[1])
  end)

  it("leaves out entries that are no text and should be, and those of a later version", function()
    local s = start(function(words)
      if words[6] ~= "-" then return page({}, "1700000000000-3") end
      local list = {}
      for i, change in ipairs({ { [6] = bulk("\255") }, { [5] = bulk("Z") }, { [6] = bulk("good") } }) do
        change[1], change[4] = bulk("1700000000000-" .. i), bulk(tostring(i))
        change[2] = bulk(i > 1 and "1700000000000-" .. i - 1 or "")
        for _, one in ipairs(entry(change)) do list[#list + 1] = one end
      end
      return page(list, "1700000000000-3")
    end)
    local peer = join(s, "all")
    assert.same({ 1, "good" }, { peer:message() })
    s:pump(function() return s.joined[1] end, "on_joined")
    -- The same as they are published; ids and what is before them are ids.
    for _, text in ipairs({
      "1700000000001-0  4 A\255", "1700000000001-0 x 4 Agood", ("9"):rep(40) .. "-0  4 Agood", "x", "",
      "1700000000000-4 1700000000000-3 4 Alive",
    }) do
      fake:send(">3\r\n$7\r\nmessage\r\n" .. bulk("ws:t:{t}") .. bulk("publisher---H" .. text))
    end
    assert.same({ 1, "live" }, { peer:message() })
  end)

  it("is joined at once by a peer that has invented an id", function()
    local s = start(function() return page({}, ID) end)
    local _, ws = join(s, "999999999999999-0")
    s:pump(function() return s.joined[1] end, "on_joined")
    assert.same({ { true, ID } }, s.joined)
    assert.same({ "t" }, ws:topics())
  end)

  -- A context with one subscriber, whose server is away. Gives the store, and that subscriber.
  local function start_away()
    local s = start(function() return NO_ENTRIES end)
    local _, stays = join(s)
    s:pump(function() return #s.joined == 1 end, "on_joined")
    fake.listening:close()
    fake:drop()
    local plane = s.context.pubsub.plane
    s:pump(function() return not plane.carrier:is_ready() end, "the loss")
    function fake.step() end
    return s, plane.store, stays
  end

  it("keeps nothing of connections that leave while the server is away, in any order", function()
    local s, store, stays = start_away()
    local all = {}
    for i = 1, 4 do
      local _, ws = join(s, "all")
      all[i] = ws
    end
    assert.equal(5, s.context:subscribers("t"))
    for left, i in ipairs({ 2, 4, 1, 3 }) do
      assert.is_true(all[i]:unsubscribe("t"))
      assert.is_false(all[i]:unsubscribe("t"))
      assert.same({}, all[i]:topics())
      assert.equal(4 - left, #store.states.t.jobs)
      for place, job in ipairs(store.states.t.jobs) do assert.equal(place, job.place) end
    end
    assert.same({ {}, {} }, { store.joining, store.states.t.jobs })
    assert.same({ "t" }, stays:topics())
  end)

  it("keeps nothing of connections that have ended while the server is away", function()
    local s, store, stays = start_away()
    for i = 1, 3 do
      local peer = join(s, "all")
      assert.is_not_nil(next(store.joining))
      peer:close()
      s:pump(function() return #s.log.closed == i end, "the end")
      assert.same({ {}, {} }, { store.joining, store.states.t.jobs })
    end
    assert.same({ "t" }, stays:topics())
  end)

  -- Two connections that have joined, the first of which publishes; `words` of EVAL are 8 to read, more to publish.
  local function start_with_publisher(answer, topics)
    local s = start(answer, topics)
    local publisher, ws = join(s)
    local other = join(s)
    s:pump(function() return #s.joined == 2 end, "on_joined")
    return s, publisher, ws, other, s.context.pubsub.plane.store.states.t
  end

  it("leaves out a connection that is excepted, also where others read the message after a loss", function()
    local is_held, mine, origin = true, "1700000000000-1", nil
    local s, publisher, ws, other, state = start_with_publisher(function(words)
      if #words > 8 then return is_held and fake_redis.HOLD or "*1\r\n" .. bulk(mine) end
      if is_held then return page({}, ID) end
      return page(entry({ bulk(mine), bulk(ID), bulk(origin), bulk("1") }), mine)
    end)
    origin = s.context.pubsub.plane.origin
    assert.is_true(ws:publish("t", "text"))
    s:pump(function() return fake.held end, "the message")
    is_held = false
    fake:drop()
    assert.same({ 1, "text" }, { other:message() })
    s:settle()
    assert.is_nil(publisher:try_message())
    assert.same({}, state.excepts.left_out)
  end)

  it("keeps no connection for a message that is refused, that others do not get, or that was before them", function()
    local now
    local s, _, ws, _, state = start_with_publisher(function(words)
      if #words == 8 then return page({}, now or ID) end
      return now and "*1\r\n" .. bulk(now) or "-OOM no\r\n"
    end)
    local function publish()
      local told
      assert.is_true(s.context:publish("t", "x", nil, { except = ws, on_stored = function() told = true end }))
      assert.equal(ws, state.excepts.left_out[s.context.pubsub.plane.store.number])
      s:pump(function() return told end, "the answer")
    end
    publish()
    assert.same({}, state.excepts.left_out)
    -- It was kept before, and its answer lost: it was among what is read when it is answered.
    now = ID
    publish()
    assert.same({ {}, {} }, { state.excepts.left_out, state.excepts.answered })
    -- It is kept, and no message comes of it; then it is not among what is read.
    now = "1700000000000-1"
    publish()
    assert.is_not_nil(next(state.excepts.left_out))
    fake:drop()
    s:pump(function() return next(state.excepts.left_out) == nil end, "the reading after the loss")
    -- Connections that have ended; of the last ones the lists of a turn may know yet.
    fake.answer = function(words) return words[1] == "EVAL" and fake_redis.HOLD or fake_redis.usual(words) end
    for _ = 1, 20 do
      local peer = client.open(s)
      assert.is_true(table.remove(s.log.ws):publish("t", "x"))
      peer:close()
      s:pump(function() return table.remove(s.log.closed) end)
    end
    s:settle()
    collectgarbage()
    collectgarbage()
    local count = 0
    for _ in pairs(state.excepts.left_out) do count = count + 1 end
    assert.is_true(count < 4, tostring(count))
  end)

  it("tells on_gap where it cannot be read after a loss, and goes on with what is published", function()
    local gaps, is_refused, count = {}, false, 0
    local kept = { history = { on_gap = function(_, topic) gaps[#gaps + 1] = topic end } }
    local s, one, ws, other = start_with_publisher(function(words)
      if is_refused then count = count + 1 end
      return is_refused and "-NOPERM no\r\n" or page({}, #words == 8 and ID)
    end, { t = kept, u = kept })
    assert.is_true(ws:subscribe("u"))
    s:pump(function() return s.context.pubsub.plane.carrier:hears("ws:t:{u}") end)
    s:settle()
    is_refused = true
    fake:drop()
    s:pump(function() return gaps[3] end, "on_gap")
    table.sort(gaps)
    assert.same({ "t", "t", "u" }, gaps)
    for i = 5, 7 do
      local text = ("17000000000%02d-0 17000000000%02d-0 %d A%d"):format(i, i - 1, i, i)
      fake:send(">3\r\n$7\r\nmessage\r\n" .. bulk("ws:t:{t}") .. bulk("publisher---H" .. text))
      for _, peer in ipairs({ one, other }) do assert.same({ 1, tostring(i) }, { peer:message() }) end
    end
    assert.same({ 2, 3 }, { count, #gaps })
    assert.matches("ended the connection", s.reported[1])
    assert.matches('^back plane: the history of "[tu]" cannot be read: NOPERM no$', s.reported[2])
    assert.is_nil(s.reported[3])
    -- One that joins and can read is there from what it has read on.
    fake:drop()
    s:pump(function() return gaps[6] end, "on_gap")
    is_refused = false
    join(s, ID)
    s:pump(function() return s.joined[3] end, "on_joined")
    assert.same({ true, ID }, s.joined[3])
  end)

  it("is away while a script keeps the server busy", function()
    local is_busy = false
    local s, _, ws, other = start_with_publisher(function(words)
      if is_busy then return "-BUSY Redis is busy running a script\r\n" end
      if #words > 8 then return "*1\r\n" .. bulk(ID) end
      return page({}, ID)
    end)
    is_busy = true
    local told
    assert.is_true(ws:publish("t", "x", nil, { on_stored = function(id) told = id end }))
    s:pump(function() return s.reported[1] end)
    assert.matches("can do nothing now: BUSY", s.reported[1])
    is_busy = false
    s:pump(function() return told end, "the message that is sent again")
    assert.is_nil(s.reported[2])
    assert.is_nil(other:try_message())
  end)

  it("is joined also where too much waits for the server as it is to be read", function()
    local s = start(function() return NO_ENTRIES end)
    join(s)
    s:pump(function() return s.joined[1] end, "on_joined")
    client.open(s)
    local carrier, step = s.context.pubsub.plane.carrier, fake.step
    function fake.step() end
    local code
    local sent = 0
    repeat
      code = select(3, carrier:publish("x", ("x"):rep(65536)))
      sent = sent + 1
      s:turn()
    until code or sent > 4096
    assert.equal("full", code)
    assert.is_true(s.log.ws[2]:subscribe("t", { since = "all", on_joined = s.on_joined }))
    fake.step = step
    s:pump(function() return s.joined[2] end, "on_joined")
    assert.same({ { true, "" }, { true, "" } }, s.joined)
    assert.same({}, s.reported)
  end)

  it("is joined where the function of topics says something else the second time", function()
    local asked = 0
    local s = start(function() return NO_ENTRIES end, function(name)
      if name ~= "t" then return nil end
      asked = asked + 1
      return asked ~= 2 and { history = {} } or nil
    end)
    join(s)
    s:pump(function() return s.joined[1] end, "on_joined")
  end)

  it("has no subscriber that the function of topics has unsubscribed while it was joined", function()
    local again
    for _, options in ipairs({ false, {} }) do
      local asked, ws = 0, nil
      local s = start(function() return NO_ENTRIES end, function(name)
        if name ~= "t" then return nil end
        asked = asked + 1
        -- The third time it is asked on behalf of the connection that has all it has missed.
        if asked == 3 then
          assert.is_true(ws:unsubscribe("t"))
          if again then assert.is_true(ws:subscribe("t", again)) end
        end
        return { history = {} }
      end)
      again = options
      client.open(s)
      ws = s.log.ws[1]
      assert.is_true(ws:subscribe("t", { since = "all", on_joined = s.on_joined }))
      s:pump(function() return asked >= 3 and #s.context.pubsub.plane.store:joins(ws) == 0 end, "the end of joining")
      s:settle()
      assert.same({ again and { "t" } or {}, {} }, { ws:topics(), s.joined })
      assert.equal(again and 1 or 0, s.context:subscribers("t"))
      assert.same({}, s.reported)
      fake:close()
    end
  end)

  it("gives a subscriber what this process publishes before the channel is confirmed, also after a loss", function()
    for _, is_lost in ipairs({ false, true }) do
      local stored, is_held = "", is_lost
      local s = start(function(words)
        if #words == 8 then return words[6] == "-" and stored ~= "" and page(entry({}), stored) or page({}, stored) end
        stored = ID
        return is_held and fake_redis.HOLD or "*1\r\n" .. bulk(ID)
      end)
      local peer = client.open(s)
      assert.is_true(s.log.ws[1]:subscribe("t"))
      assert.is_true(s.context:publish("t", "text"))
      if is_lost then
        s:pump(function() return fake.held end, "the message")
        is_held = false
        fake:drop()
      end
      assert.same({ 1, "text" }, { peer:message() })
      assert.same({}, s.context.pubsub.plane.store.states.t.jobs)
      fake:close()
    end
  end)

  it("is there for a topic that presence has asked for while the function of topics named none", function()
    local topics
    local s = start(function() return NO_ENTRIES end, function(name) return name == "t" and topics or nil end)
    assert.same({}, s.context:presence("t"))
    s:pump(function() return s.context.pubsub.plane:hears("t") end)
    topics = { history = {} }
    local peer = client.open(s)
    assert.is_true(s.log.ws[1]:subscribe("t"))
    s:pump(function()
      local state = s.context.pubsub.plane.store.states.t
      return state and state.is_live
    end, "the history")
    fake:send(">3\r\n$7\r\nmessage\r\n" .. bulk("ws:t:{t}") .. bulk("publisher---H" .. ID .. "  1 Akept"))
    assert.same({ 1, "kept" }, { peer:message() })
    -- Presence and a subscriber use the channel: it stays until neither does.
    s.log.ws[1]:unsubscribe("t")
    assert.is_true(s.context.pubsub.plane:hears("t"))
  end)

  it("is heard as long as it has subscribers, also those that the function of topics has subscribed", function()
    local subscriber
    local s = start(function() return NO_ENTRIES end, function(name)
      local ws = subscriber
      subscriber = nil
      if ws then ws:subscribe(name) end
      return name ~= "none" and { history = {} } or nil
    end)
    client.open(s)
    local plane, ws = s.context.pubsub.plane, s.log.ws[1]
    subscriber = ws
    assert.same({}, s.context:presence("watched"))
    assert.same({ 2, { "watched" } }, { plane.uses["ws:t:{watched}"], ws:topics() })
    s:pump(function() return plane:hears("watched") and plane.store.states.watched.is_live end, "the history")
    subscriber = ws
    local joined
    ws:subscribe("joined", { since = "all", on_joined = function() joined = true end })
    s:pump(function() return joined end)
    assert.equal(1, plane.uses["ws:t:{joined}"])
    for _, name in ipairs(ws:topics()) do ws:unsubscribe(name) end
    assert.same({ 1 }, { plane.uses["ws:t:{watched}"], plane.uses["ws:t:{joined}"] })
  end)
end)
