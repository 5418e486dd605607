--- The connection to a Redis server: its beginning, its ends, and servers that do not do what they should.
-- @module spec.behaviour.redis_link_spec
local carrier = require("websockets.pubsub.redis.carrier")
local dial = require("websockets.client.dial")
local entry = require("websockets.turn.entry")
local fake_redis = require("spec.support.fake_redis")
local link = require("websockets.pubsub.redis.link")
local place = require("websockets.pubsub.redis.place")
local resp = require("websockets.pubsub.redis.resp")
local server = require("spec.support.server")

local HELLO, PONG = fake_redis.HELLO, fake_redis.PONG

local fake

-- Events of a link, in words.
local function recorder()
  local log = {}
  return {
    log = log,
    ready = function() log[#log + 1] = "ready" end,
    lost = function(self, message, code, seconds)
      log[#log + 1], self.message, self.seconds = "lost " .. code, message, seconds
    end,
    message = function(_, channel, payload) log[#log + 1] = ("message %s %s"):format(channel, payload) end,
    push = function(_, list) log[#log + 1] = "push " .. tostring(list[1]) end,
  }
end

-- A context and a link to the fake server, with time under control.
local function start(changes, answer, url)
  fake = fake_redis.new(answer)
  local self = server.start({})
  local turn = self.turn
  function self.turn(...)
    fake:step()
    return turn(...)
  end
  self:fake_time()
  local settings = { timeout = 5, min = 1, max = 8, jitter = 0 }
  for name, value in pairs(changes or {}) do settings[name] = value end
  self.events = recorder()
  self.link = link.new(self.context, place.parse((url or "redis://127.0.0.1:%d"):format(fake.port)), settings,
    self.events)
  entry.within(self.context, self.link.open, self.link)
  return self
end

local function await(self, text)
  self:pump(function()
    local log = self.events.log
    return log[#log] == text
  end, text .. ", after: " .. table.concat(self.events.log, "; "))
end

local function command_line(words) return table.concat(words, " ") end

describe("the connection to a Redis server", function()
  after_each(function()
    server.stop_all()
    if fake then fake:close() end
    fake = nil
  end)

  it("begins with HELLO 3 and a PING", function()
    local self = start()
    await(self, "ready")
    assert.same({ "HELLO 3", "PING" }, { command_line(fake.commands[1]), command_line(fake.commands[2]) })
    assert.equal("ready", self.link.state)
    assert.is_false(self.link.is_cluster)
  end)

  it("says user, password and database, of the options or of the URL", function()
    local self = start({ user = "ws", password = "p w" })
    await(self, "ready")
    assert.same({ "HELLO", "3", "AUTH", "ws", "p w" }, fake.commands[1])
    server.stop_all()
    fake:close()
    self = start({}, function(words) return words[1] == "SELECT" and "+OK\r\n" or fake_redis.usual(words) end,
      "redis://:p%%40w@localhost:%d/7")
    await(self, "ready")
    assert.same({ "HELLO", "3", "AUTH", "default", "p@w" }, fake.commands[1])
    assert.same({ "SELECT", "7" }, fake.commands[2])
  end)

  it("is opened again after a time that doubles, when it is refused or ends", function()
    local self = start({}, function(words)
      return words[1] == "HELLO" and "-WRONGPASS invalid\r\n" or fake_redis.usual(words)
    end)
    for _, seconds in ipairs({ 1, 2, 4, 8, 8 }) do
      await(self, "lost refused")
      assert.matches("refused HELLO 3: WRONGPASS invalid$", self.events.message)
      assert.equal(seconds, self.events.seconds)
      self.events.log[#self.events.log + 1] = "-"
      self:advance(seconds - 0.01)
      assert.equal("down", self.link.state)
      self:advance(0.01)
      assert.equal("connecting", self.link.state)
    end
    fake.answer = nil
    await(self, "ready")
    -- It was of use for as long as the longest wait: the next wait is the shortest again.
    self:advance(9)
    fake:drop()
    await(self, "lost closed")
    assert.equal(1, self.events.seconds)
  end)

  it("is opened again where an error came while it was opened", function()
    local self = start()
    await(self, "ready")
    local connect = dial.connect
    function dial.connect() error("not enough memory", 0) end
    finally(function() dial.connect = connect end)
    fake:drop()
    await(self, "lost closed")
    assert.same({ false, "not enough memory" }, { pcall(self.advance, self, 1) })
    assert.is_true(self.link.state ~= "ready")
    dial.connect = connect
    await(self, "ready")
  end)

  it("comes back after the beginning was cut at any byte", function()
    local whole = HELLO .. PONG
    local self = start({ min = 0.1, max = 0.1 }, function() end)
    for size = 0, #whole - 1 do
      self:pump(function() return #fake.commands >= 2 end, "the commands of connection " .. size)
      fake:send(whole:sub(1, size))
      fake:drop()
      fake.commands = {}
      await(self, "lost closed")
      self.events.log[#self.events.log + 1] = "-"
      self:advance(0.1)
    end
    fake.answer = nil
    await(self, "ready")
  end)

  it("is given up where the server does not answer: at its beginning, and later", function()
    local self = start({}, function() end)
    self:pump(function() return #fake.commands >= 2 end)
    self:advance(5.1)
    await(self, "lost timeout")
    assert.matches("^no connection to 127.0.0.1:%d+ in time$", self.events.message)
    fake.answer = nil
    self:advance(1)
    await(self, "ready")
    -- Whatever comes is an answer; then nothing comes.
    for _ = 1, 4 do
      self:advance(2.5)
      self:settle()
      assert.equal("ready", self.link.state)
    end
    fake.answer = function() end
    self:advance(2.5)
    self:settle()
    self:advance(2.5)
    await(self, "lost timeout")
    assert.matches("does not answer$", self.events.message)
  end)

  it("is no use where the server loads its data, has no RESP3, or breaks it", function()
    for _, case in ipairs({
      { { PING = "-LOADING Redis is loading\r\n" }, "lost refused", "is not ready: LOADING" },
      { { PING = ":1\r\n" }, "lost refused", "is not ready: no PONG" },
      { { PING = "_\r\n" }, "lost refused", "is not ready: no PONG" },
      { { HELLO = "-ERR unknown command\r\n" }, "lost refused", "refused HELLO 3: ERR unknown command" },
      { { HELLO = "+OK\r\n" }, "lost protocol", "does not speak RESP3" },
      { { HELLO = "%1\r\n+proto\r\n:2\r\n" }, "lost protocol", "does not speak RESP3" },
      { { HELLO = "HTTP/1.1 400 Bad Request\r\n\r\n" }, "lost protocol", "the server broke RESP3" },
      { { PING = "+PONG\r\n+PONG\r\n" }, "lost protocol", "answers what was not asked" },
    }) do
      local self = start({}, function(words) return case[1][words[1]] or fake_redis.usual(words) end)
      await(self, case[2])
      assert.is_truthy(self.events.message:find(case[3], 1, true), self.events.message)
      server.stop_all()
      fake:close()
    end
  end)

  it("gives each answer to what asked for it, and tells what is left that none comes", function()
    local answers = { A = ":1\r\n", B = "-ERR no\r\n" }
    local self = start({}, function(words)
      if words[1] == "C" then return nil end
      return answers[words[1]] or fake_redis.usual(words)
    end)
    await(self, "ready")
    local log = {}
    local function ask(name)
      self.link:send(resp.command(name), {
        reply = function(_, value) log[#log + 1] = { name, value } end,
        lost = function() log[#log + 1] = name .. " lost" end,
      })
    end
    entry.within(self.context, function()
      ask("A")
      ask("B")
      ask("C")
      ask("C")
    end)
    self:pump(function() return log[2] end)
    fake:drop()
    await(self, "lost closed")
    assert.same({ { "A", 1 }, { "B", { fault = "ERR no" } }, "C lost", "C lost" }, log)
  end)

  it("ends where the server says that it can do nothing now", function()
    local self = start({}, function(words)
      return words[1] == "PUBLISH" and "-READONLY You can't write\r\n" or fake_redis.usual(words)
    end)
    await(self, "ready")
    local is_lost
    entry.within(self.context, self.link.send, self.link, resp.command("PUBLISH", "a", "b"),
      { lost = function() is_lost = true end })
    await(self, "lost refused")
    assert.is_true(is_lost)
  end)

  it("takes no more once much waits for a server that reads nothing", function()
    local self = start()
    await(self, "ready")
    fake.step = function() end
    local chunk, count = resp.command("PUBLISH", "a", ("x"):rep(2 ^ 20)), 0
    entry.within(self.context, function()
      while count < 100 and self.link:send(chunk) do count = count + 1 end
    end)
    assert.is_true(count >= 16 and count < 40)
  end)

  it("ends for good when it is closed, and with its context", function()
    local self = start()
    await(self, "ready")
    entry.within(self.context, self.link.close, self.link)
    assert.equal("closed", self.link.state)
    assert.same({ "ready" }, self.events.log)
    assert.is_false(self.context.timers:has_plans())
    local other = start()
    await(other, "ready")
    other.context:destroy()
    assert.equal("closed", other.link.state)
    assert.same({ "ready" }, other.events.log)
  end)
end)

-- A receiver of a carrier, in words.
local function receiver()
  local log = {}
  local function note(name)
    return function(_, ...) log[#log + 1] = table.concat({ name, ... }, " ") end
  end
  return {
    log = log, message = note("message"), ready = note("ready"), subscribed = note("subscribed"), lost = note("lost"),
    report = note("report"), refused = note("refused"),
    message_refused = note("message refused"),
  }
end

local function start_carrier(answer)
  fake = fake_redis.new(answer)
  local self = server.start({})
  local turn = self.turn
  function self.turn(...)
    fake:step()
    return turn(...)
  end
  self:fake_time()
  self.receiver = receiver()
  self.carrier = carrier.new(self.context, {
    server = place.parse("redis://127.0.0.1:" .. fake.port), timeout = 5, min = 1, max = 8, jitter = 0,
  })
  entry.within(self.context, self.carrier.open, self.carrier, self.receiver)
  self:pump(function() return self.carrier:is_ready() end)
  return self
end

-- The commands that came, without those that open a connection.
local function asked()
  local list = {}
  for _, words in ipairs(fake.commands) do
    if words[1] ~= "HELLO" and words[1] ~= "PING" then list[#list + 1] = words end
  end
  return list
end

describe("the pub/sub of a Redis server", function()
  after_each(function()
    server.stop_all()
    if fake then fake:close() end
    fake = nil
  end)

  it("subscribes once for all changes of a turn, and only for what has changed", function()
    local self = start_carrier()
    entry.within(self.context, function()
      for _, name in ipairs({ "a", "b", "c" }) do self.carrier:subscribe(name) end
      self.carrier:unsubscribe("b")
      self.carrier:unsubscribe("never")
    end)
    self:pump(function() return #self.receiver.log == 3 end)
    assert.same({ "ready", "subscribed a", "subscribed c" }, self.receiver.log)
    assert.same({ { "SUBSCRIBE", "a", "c" } }, asked())
    entry.within(self.context, function()
      self.carrier:unsubscribe("a")
      self.carrier:subscribe("d")
    end)
    self:pump(function() return #self.receiver.log == 4 end)
    assert.same({ { "SUBSCRIBE", "a", "c" }, { "UNSUBSCRIBE", "a" }, { "SUBSCRIBE", "d" } }, asked())
    fake:send(">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$2\r\nhi\r\n>3\r\n$7\r\nmessage\r\n$1\r\na\r\n$4\r\nlate\r\n")
    self:pump(function() return #self.receiver.log == 5 end)
    self:settle()
    assert.equal("message c hi", self.receiver.log[5])
    assert.is_nil(self.receiver.log[6])
  end)

  it("asks for everything again after a loss, 1,000 channels at a time", function()
    local self = start_carrier()
    entry.within(self.context, function()
      for i = 1, 2500 do self.carrier:subscribe("channel " .. i) end
    end)
    self:pump(function() return #self.receiver.log == 2501 end)
    fake.commands = {}
    fake:drop()
    self:pump(function() return self.receiver.log[2502] == "lost" end)
    assert.matches("^report .*ended the connection %(closed%); the next try is in 1.0 s$", self.receiver.log[2503])
    self:advance(1)
    self:pump(function() return #self.receiver.log == 2503 + 2501 end)
    local sizes, seen = {}, {}
    for i, words in ipairs(asked()) do
      sizes[i] = #words - 1
      for k = 2, #words do seen[words[k]] = true end
    end
    assert.same({ 1000, 1000, 500 }, sizes)
    for i = 1, 2500 do assert.is_true(seen["channel " .. i]) end
  end)

  it("asks for everything over a new connection where an error came while it asked", function()
    local self = start_carrier()
    local list_command = resp.list_command
    function resp.list_command() error("not enough memory", 0) end
    finally(function() resp.list_command = list_command end)
    local is_good, err = pcall(entry.within, self.context, self.carrier.subscribe, self.carrier, "a")
    while is_good do is_good, err = pcall(self.context.service, self.context, 10) end
    assert.equal("not enough memory", err)
    resp.list_command = list_command
    self:pump(function() return self.receiver.log[2] == "lost" end)
    self:advance(1)
    self:pump(function() return self.receiver.log[#self.receiver.log] == "subscribed a" end)
    assert.same({ { "SUBSCRIBE", "a" } }, asked())
  end)

  it("asks again for what could not be sent because too much waited", function()
    local self = start_carrier()
    local one = self.carrier
    entry.within(self.context, one.subscribe, one, "old")
    self:pump(function() return self.receiver.log[2] == "subscribed old" end)
    fake.commands, fake.step = {}, function() end
    local data, is_taken = ("x"):rep(2 ^ 20), true
    entry.within(self.context, function()
      while is_taken do is_taken = one:publish("full", data) end
      one:subscribe("new")
      one:unsubscribe("old")
    end)
    self:turns(5)
    assert.is_false(one:hears("new"))
    assert.is_true(one:hears("old"))
    fake.step = nil
    self:pump(function()
      self:advance(0.01)
      return self.receiver.log[3] == "subscribed new"
    end)
    self:settle()
    local counts = { SUBSCRIBE = 0, UNSUBSCRIBE = 0 }
    for _, words in ipairs(asked()) do counts[words[1]] = (counts[words[1]] or 0) + 1 end
    assert.same({ 1, 1 }, { counts.SUBSCRIBE, counts.UNSUBSCRIBE })
    assert.is_false(one:hears("old"))
  end)

  it("is opened again also where an error came while its loss was told", function()
    local self = start_carrier()
    entry.within(self.context, self.carrier.subscribe, self.carrier, "a")
    self:pump(function() return self.receiver.log[2] == "subscribed a" end)
    self.carrier.link:send(resp.command("PING"), { lost = function() error("not enough memory", 0) end })
    fake:drop()
    local is_good, err
    repeat is_good, err = pcall(self.context.service, self.context, 10) until not is_good
    assert.equal("not enough memory", err)
    assert.equal("lost", self.receiver.log[3])
    self:advance(1)
    self:pump(function() return self.receiver.log[#self.receiver.log] == "subscribed a" end)
    assert.is_true(self.carrier:is_ready())
  end)

  it("sends no command whose answer could not be waited for", function()
    local self = start_carrier()
    local pending = self.carrier.link.pending
    self.carrier.link.pending = setmetatable({}, { __newindex = function() error("not enough memory", 0) end })
    assert.is_false(pcall(entry.within, self.context, self.carrier.publish, self.carrier, "a", "lost"))
    self.carrier.link.pending = pending
    entry.within(self.context, self.carrier.publish, self.carrier, "a", "sent")
    self:pump(function() return asked()[1] end)
    assert.same({ { "PUBLISH", "a", "sent" } }, asked())
  end)

  it("comes back after its connection was cut at any byte of what the server says", function()
    local push = ">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$3\r\nxyz\r\n"
    local whole = fake_redis.usual({ "SUBSCRIBE", "a" }) .. push .. ":1\r\n"
    local size, is_cut = 0, true
    local self = start_carrier(function(words)
      if words[1] == "SUBSCRIBE" then return is_cut and whole:sub(1, size) or fake_redis.usual(words) end
      return fake_redis.usual(words)
    end)
    entry.within(self.context, self.carrier.subscribe, self.carrier, "a")
    while size < #whole do
      self:pump(function() return fake.commands[#fake.commands][1] == "SUBSCRIBE" end)
      entry.within(self.context, self.carrier.publish, self.carrier, "a", "xyz")
      fake:drop()
      self:pump(function() return not self.carrier:is_ready() end)
      local messages = 0
      for _, text in ipairs(self.receiver.log) do
        if text:find("^message") then messages = messages + 1 end
      end
      -- It has come only where all of it came.
      assert.equal(size >= #whole - #":1\r\n" and 1 or 0, messages, size)
      for i = #self.receiver.log, 1, -1 do self.receiver.log[i] = nil end
      size = size + 1
      is_cut = size < #whole
      self:advance(8)
      self:pump(function() return self.carrier:is_ready() end)
    end
    self:pump(function() return self.receiver.log[2] end)
    assert.same({ "ready", "subscribed a" }, self.receiver.log)
  end)

  it("is asked for less at a time where one channel of many is refused, and reports that once", function()
    local self = start_carrier(function(words)
      if words[1] ~= "SUBSCRIBE" then return fake_redis.usual(words) end
      for i = 2, #words do
        if words[i] == "bad" or words[i] == "worse" then return "-NOPERM no\r\n" end
      end
      return fake_redis.usual(words)
    end)
    entry.within(self.context, function()
      for i = 1, 1500 do
        self.carrier:subscribe(i == 100 and "bad" or i == 1400 and "worse" or "channel " .. i)
      end
    end)
    self:pump(function() return #self.receiver.log == 1 + 1498 + 2 + 1 end)
    local refused, count = {}, 0
    for _, text in ipairs(self.receiver.log) do
      if text:find("^refused") then refused[#refused + 1] = text end
      if text:find("^report") then count = count + 1 end
    end
    table.sort(refused)
    assert.same({ { "refused bad NOPERM no", "refused worse NOPERM no" }, 1 }, { refused, count })
    assert.is_true(#fake.commands < 200, tostring(#fake.commands))
    assert.same({ false, true }, { self.carrier:hears("bad"), self.carrier:hears("channel 101") })
    self:settle()
  end)

  it("reports one refusal for all channels of a command, and the next command is not hit", function()
    local is_refusing = true
    local self = start_carrier(function(words)
      if words[1] == "SUBSCRIBE" and is_refusing then return "-NOPERM no channels\r\n" end
      return fake_redis.usual(words)
    end)
    entry.within(self.context, function()
      self.carrier:subscribe("a")
      self.carrier:subscribe("b")
    end)
    self:turns(2)
    assert.is_true(self.carrier:publish("x", "y"))
    self:pump(function() return self.receiver.log[4] end)
    assert.same({
      "ready", "report subscribe was refused: NOPERM no channels", "refused a NOPERM no channels",
      "refused b NOPERM no channels",
    }, self.receiver.log)
    is_refusing = false
    entry.within(self.context, self.carrier.subscribe, self.carrier, "c")
    self:pump(function() return self.receiver.log[5] end)
    assert.equal("subscribed c", self.receiver.log[5])
  end)

  it("reports the first refusal of a message, and says what cannot be sent", function()
    local self = start_carrier(function(words)
      return words[1] == "PUBLISH" and "-OOM command not allowed\r\n" or fake_redis.usual(words)
    end)
    entry.within(self.context, function()
      for _ = 1, 3 do assert.is_true(self.carrier:publish("a", "b")) end
    end)
    self:pump(function() return self.receiver.log[5] end)
    self:settle()
    assert.same({
      "ready", "message refused", "report a message was refused: OOM command not allowed", "message refused",
      "message refused",
    }, self.receiver.log)
    assert.equal("too_big", select(3, self.carrier:publish("a", ("x"):rep(2 ^ 24 + 1))))
    fake:drop()
    self:pump(function() return not self.carrier:is_ready() end)
    assert.equal("unavailable", select(3, self.carrier:publish("a", "b")))
  end)
end)
