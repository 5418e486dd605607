--- Topics with a history in a real server that is cut off, stalled, full, emptied, changed by others, or refuses.
-- @module spec.interop.history_faults_spec
local client = require("spec.support.client")
local lifecycle = require("websockets.connection.lifecycle")
local messages = require("spec.support.messages")
local needs = require("spec.support.needs")
local redis = require("spec.support.redis")
local server = require("spec.support.server")
local socket = require("socket")

local texts, numbers = messages.texts, messages.numbers

local it_is

-- Contexts that share topics.
local function start(count, options)
  local list = {}
  for i = 1, count do
    local handler, log = server.recorder()
    local reported, gaps = {}, {}
    local given = {
      default = handler, ping_interval = false, on_error = function(err) reported[#reported + 1] = err end,
      topics = function(name)
        local history = { messages = 100000, seconds = 600, on_gap = function(_, topic) gaps[#gaps + 1] = topic end }
        return name:find("^kept") and { history = history } or nil
      end,
      backplane = { url = "unix:" .. it_is.path, reconnect = { min = 0.01, max = 0.05 } },
    }
    for name, value in pairs(options or {}) do given[name] = value end
    local s = server.start(given)
    s.log, s.reported, s.gaps = log, reported, gaps
    list[i] = s
  end
  server.serve_together(list)
  for _, one in ipairs(list) do
    function one.plane() return one.context.pubsub.plane end
    one:pump(function() return one.plane().carrier:is_ready() end, "the back plane")
  end
  return (table.unpack or unpack)(list)
end

-- A new connection that joins: its client, the ws, what on_joined was told.
local function join(s, topic, since)
  local one = client.open(s)
  local ws, told = s.log.ws[#s.log.ws], nil
  assert.is_true(ws:subscribe(topic, { since = since, on_joined = function(_, _, ...) told = { ... } end }))
  s:pump(function() return told end, "joining")
  return one, ws, told
end

-- Publishes; gives what on_stored is told later.
local function publish(s, topic, data, options)
  local told = {}
  local given = { on_stored = function(...) told.id, told.message, told.code = ... end }
  for name, value in pairs(options or {}) do given[name] = value end
  assert(s.context:publish(topic, data, nil, given))
  return told
end

local function keep(s, topic, data, options)
  local told = publish(s, topic, data, options)
  s:pump(function() return told.id or told.message end, "keeping")
  return told
end

local function kill_connections()
  it_is:ask("CLIENT KILL TYPE pubsub")
  it_is:ask("CLIENT KILL TYPE normal SKIPME yes")
end

for _, kind in ipairs({ "Redis", "Valkey" }) do
  local lacking = needs.reason(kind)

  describe("a history in a server of faults, " .. kind, function()
    local check = needs.test(it, pending, lacking)

    local function test(name, body)
      check(name, function()
        it_is = redis.new(kind, "client-output-buffer-limit pubsub 4mb 0 0"):start()
        return body()
      end)
    end

    after_each(function()
      server.stop_all()
      redis.stop_all()
    end)

    test("is joined by many at once, though what each has missed is long", function()
      -- The timeout is so long that only what waits in the server could end the connection.
      local s = start(1, { backplane = { url = "unix:" .. it_is.path, timeout = 60 } })
      local filler, last = (" "):rep(20000), nil
      for i = 1, 30 do last = publish(s, "kept", i .. filler) end
      s:pump(function() return last.id end)
      local clients, joined = {}, 0
      for i = 1, 30 do clients[i] = client.open(s) end
      for i = 1, 30 do
        assert(s.log.ws[i]:subscribe("kept", { since = "all", on_joined = function(_, _, is_complete)
          if is_complete then joined = joined + 1 end
        end }))
      end
      -- What the server may have waiting for this process: less than all that is asked for.
      local got = {}
      s:pump(function()
        local read = 0
        for i, one in ipairs(clients) do
          local _, text = one:try_message()
          while text do
            got[i] = (got[i] or 0) + 1
            assert(got[i] == tonumber(text:match("^%d+")))
            _, text = one:try_message()
          end
          read = read + (got[i] or 0)
        end
        return read == 30 * 30
      end, "all messages")
      s:pump(function() return joined == 30 end)
      assert.same({}, s.reported)
      assert.equal(0, s.plane().losses)
    end)

    test("leaves out who is excepted, and nobody else, whenever the connection is cut", function()
      local s, far = start(2)
      local publisher, ws = join(s, "kept", "all")
      local near, other = join(s, "kept", "all"), join(far, "kept", "all")
      local sent, last = 0, nil
      for cut = 1, 20 do
        for _ = 1, 1 + cut % 4 do
          sent = sent + 1
          last = publish(s, "kept", ("%d"):format(sent), { except = ws })
          if cut % 3 == 0 then s:turn(0) end
        end
        -- Cut by the server, or by this side, before it has read an answer.
        if cut % 2 == 0 then kill_connections() else lifecycle.abort(s.plane().carrier.link.ws, "closed") end
        s:pump(function() return s.plane().losses >= cut end, "the loss")
        s:pump(function() return s.plane().carrier:is_ready() end, "the way back")
      end
      s:pump(function() return last.id end)
      for _, one in ipairs({ near, other }) do assert.same(numbers(1, sent), texts(one, sent)) end
      messages.assert_none(publisher, near, other)
      local excepts = s.plane().store.states.kept.excepts
      assert.same({ {}, {} }, { excepts.left_out, excepts.answered })
      assert.same({ {}, {} }, { s.gaps, far.gaps })
    end)

    test("waits while the server is stopped, and gives each message once when it goes on", function()
      local s, far = start(2)
      local one, other = join(s, "kept", "all"), join(far, "kept", "all")
      keep(s, "kept", "1")
      it_is:signal("STOP")
      local stored = publish(s, "kept", "2")
      local lost = publish(far, "kept", "3")
      for _, each in ipairs({ s, far }) do each:hurry(0.01) end
      s:pump(function() return not (s.plane().carrier:is_ready() or far.plane().carrier:is_ready()) end, "the timeout")
      for _, each in ipairs({ s, far }) do each:hurry(0) end
      assert.equal("unavailable", select(3, s.context:publish("kept", "4")))
      assert.matches("does not answer", s.reported[1])
      it_is:signal("CONT")
      s:pump(function() return stored.id and lost.id end, "the way back")
      keep(s, "kept", "4")
      for _, each in ipairs({ one, other }) do
        local found = texts(each, 4)
        table.sort(found)
        assert.same(numbers(1, 4), found)
      end
      messages.assert_none(one, other)
      assert.same({ 1, 1 }, { #s.reported, #far.reported })
    end)

    test("gives all to a process that was too slow for the server", function()
      -- The timeout is so long that a slow machine does not end the connection of the process that is not too slow.
      local s, far = start(2, {
        backplane = { url = "unix:" .. it_is.path, timeout = 60, reconnect = { min = 0.01, max = 0.05 } },
      })
      it_is:ask("CONFIG SET client-output-buffer-limit \"pubsub 1mb 0 0\"")
      local other = join(far, "kept", "all")
      join(s, "kept", "all")
      far.is_still = true
      local filler = (" "):rep(100000)
      local count = 0
      s:pump(function()
        count = count + 1
        keep(s, "kept", count .. filler)
        return it_is:subscribers("ws:t:{kept}") == 1
      end, "the end of its connection")
      far.is_still = false
      for i = 1, count do
        local _, text = other:message()
        assert.equal(i, tonumber(text:match("^%d+")))
      end
      s:pump(function() return far.reported[1] end, "the report")
      assert.matches("ended the connection", far.reported[1])
      messages.assert_none(other)
      assert.same({}, far.gaps)
    end)

    test("can be read while the server is full, and goes on when it has room", function()
      local s = start(1)
      local one = join(s, "kept", "all")
      keep(s, "kept", "1")
      it_is:ask("CONFIG SET maxmemory 1")
      local told = keep(s, "kept", "2")
      assert.same({ nil, "unavailable" }, { told.id, told.code })
      local late, _, joined = join(s, "kept", "all")
      assert.is_true(joined[1])
      it_is:ask("CONFIG SET maxmemory 0")
      keep(s, "kept", "3")
      assert.same({ "1", "3" }, texts(one, 2))
      assert.same({ "1", "3" }, texts(late, 2))
      assert.equal(1, #s.reported)
    end)

    test("does not care for what is done to scripts", function()
      local s = start(1)
      local one = join(s, "kept", "all")
      keep(s, "kept", "1")
      it_is:ask("SCRIPT FLUSH")
      keep(s, "kept", "2")
      assert.same({ "1", "2" }, texts(one, 2))
    end)

    test("is away while a script keeps the server busy", function()
      local s = start(1)
      local one = join(s, "kept", "all")
      it_is:ask("CONFIG SET busy-reply-threshold 10")
      local busy = it_is:connect()
      busy:send("EVAL \"while true do end\" 0\r\n")
      local told
      s:pump(function()
        told = told or publish(s, "kept", "1")
        return s.reported[1]
      end, "the report")
      assert.matches("BUSY", s.reported[1])
      it_is:ask("SCRIPT KILL")
      s:pump(function() return told.id end, "the message")
      assert.same({ "1" }, texts(one, 1))
      messages.assert_none(one)
      busy:close()
    end)

    test("goes on when its keys are removed, renamed, or all are", function()
      local s, far = start(2)
      local one, other = join(s, "kept", "all"), join(far, "kept", "all")
      local count, ids = 0, {}
      local function next_one()
        count = count + 1
        local told = keep(s, "kept", ("%d"):format(count))
        assert.is_nil(told.message)
        ids[count] = told.id
      end
      next_one()
      for _, command in ipairs({
        "FLUSHALL", "DEL ws:s:{kept}", "DEL ws:h:{kept}", "RENAME ws:s:{kept} x", "RENAME ws:h:{kept} y",
        "FLUSHALL ASYNC", "XTRIM ws:s:{kept} MAXLEN 0",
      }) do
        -- Ids have milliseconds: one that is gone would come again.
        local now = socket.gettime()
        s:pump(function() return socket.gettime() > now + 0.002 end)
        it_is:ask(command)
        next_one()
        local _, _, told = join(s, "kept", ids[1])
        assert.is_false(told[1], command)
        next_one()
      end
      for _, each in ipairs({ one, other }) do assert.same(numbers(1, count), texts(each, count)) end
      assert.same({ {}, {}, {}, {} }, { s.reported, far.reported, s.gaps, far.gaps })
    end)

    test("refuses where a key is of another type, and goes on when it is gone", function()
      local s = start(1)
      local one = join(s, "kept", "all")
      keep(s, "kept", "1")
      for i, key in ipairs({ "ws:s:{kept}", "ws:h:{kept}" }) do
        it_is:ask("SET " .. key .. " x")
        local told = keep(s, "kept", "no")
        assert.matches("WRONGTYPE", told.message)
        assert.equal("unavailable", told.code)
        local _, _, joined = join(s, "kept", "all")
        assert.is_false(joined[1])
        kill_connections()
        s:pump(function() return s.plane().losses == i end)
        s:pump(function() return s.plane().carrier:is_ready() end)
        s:pump(function() return s.gaps[1] end, "on_gap")
        it_is:ask("DEL " .. key)
        assert.is_not_nil(keep(s, "kept", tostring(i + 1)).id)
        assert.same({ tostring(i) }, texts(one, 1))
      end
    end)

    test("goes on where the clock of the server is set back", function()
      local s, far = start(2)
      -- As if it had been in the future; then it has lost all.
      it_is:ask("HSET ws:h:{kept} last 99999999999999-5")
      local one, other = join(s, "kept", "all"), join(far, "kept", "all")
      for i = 1, 2 do assert.matches("^99999999999999%-", keep(s, "kept", ("%d"):format(i)).id) end
      it_is:ask("FLUSHALL")
      for i = 3, 4 do assert.is_nil(keep(s, "kept", ("%d"):format(i)).id:match("^9999")) end
      for _, each in ipairs({ one, other }) do assert.same(numbers(1, 4), texts(each, 4)) end
      it_is:ask("HSET ws:h:{kept} last 99999999999999-5")
      kill_connections()
      s:pump(function() return s.plane().losses + far.plane().losses == 2 end)
      s:pump(function() return s.gaps[1] and far.gaps[1] end)
      it_is:ask("FLUSHALL")
      kill_connections()
      s:pump(function() return s.plane().losses + far.plane().losses == 4 end)
      s:pump(function() return s.gaps[2] and far.gaps[2] end)
      keep(far, "kept", "5")
      for _, each in ipairs({ one, other }) do assert.same({ "5" }, texts(each, 1)) end
      messages.assert_none(one, other)
      -- A message that came while one of them was away: whatever its id, nobody misses it untold.
      it_is:ask("HSET ws:h:{kept} last 99999999999999-5")
      kill_connections()
      s:pump(function() return s.gaps[3] and far.gaps[3] end)
      it_is:ask("FLUSHALL")
      lifecycle.abort(far.plane().carrier.link.ws, "closed")
      keep(s, "kept", "6")
      assert.same({ "6" }, texts(one, 1))
      s:pump(function() return far.gaps[4] end)
      keep(s, "kept", "7")
      for _, each in ipairs({ one, other }) do assert.same({ "7" }, texts(each, 1)) end
      messages.assert_none(one, other)
    end)

    test("reports what a user may not do, and tells those that join", function()
      it_is:ask("ACL SETUSER ws on >secret ~ws:* &ws:* +@all")
      local s = start(1, { backplane = {
        url = "unix:" .. it_is.path, user = "ws", password = "secret", reconnect = { min = 0.01, max = 0.05 },
      } })
      local one, ws = join(s, "kept", "all")
      -- Gives rights, and has the connection opened again; waits for what is reported then.
      local function allow(rights, expected)
        it_is:ask("ACL SETUSER ws " .. rights)
        for i = #s.reported, 1, -1 do s.reported[i] = nil end
        for i = #s.gaps, 1, -1 do s.gaps[i] = nil end
        lifecycle.abort(s.plane().carrier.link.ws, "closed", "cut")
        s:pump(function() return s.reported[#expected] end, "reports")
        for i, pattern in ipairs(expected) do assert.matches(pattern, s.reported[i]) end
      end
      allow("-eval", { "cut", 'the history of "kept" cannot be read: NOPERM' })
      s:pump(function() return s.gaps[1] end, "on_gap")
      assert.matches("NOPERM", keep(s, "kept", "no").message)
      assert.matches("a message was refused: NOPERM", s.reported[3])
      assert.same({ false, "" }, (select(3, join(s, "kept", "all"))))
      -- One channel of those that may be, and are asked for together.
      allow("+eval resetchannels &ws:t:{plain* &ws:p:", { "cut", "subscribe was refused: NOPERM" })
      s:pump(function() return s.gaps[1] end, "on_gap")
      for i = 1, 20 do ws:subscribe("plain" .. i) end
      local told = select(3, join(s, "kept", "all"))
      assert.is_nil(told[1])
      assert.matches("NOPERM", told[2])
      assert.equal("unavailable", told[3])
      s:pump(function() return s.plane().carrier:hears("ws:t:{plain20}") end)
      allow("nopass -@all", { "cut" })
      s:pump(function() return not s.plane().carrier:is_ready() end, "the cut")
      s:settle()
      assert.is_false(s.plane().carrier:is_ready())
      it_is:ask("ACL SETUSER ws resetpass >secret &ws:* +@all")
      s:pump(function() return s.plane().store.states.kept.is_live end, "the way back")
      assert.is_not_nil(keep(s, "kept", "last").id)
      assert.same({ "last" }, texts(one, 1))
      assert.equal(2, it_is:subscribers("ws:t:{plain20}") + it_is:subscribers("ws:t:{kept}"))
    end)


  end)
end
