--- The connection to real servers: Redis of Debian, Valkey of PyPI.
-- @module spec.interop.redis_link_spec
local carrier = require("websockets.pubsub.redis.carrier")
local certificates = require("spec.support.certificates")
local entry = require("websockets.turn.entry")
local needs = require("spec.support.needs")
local place = require("websockets.pubsub.redis.place")
local redis = require("spec.support.redis")
local server = require("spec.support.server")

local has_tls = pcall(require, "ssl")

-- A carrier, and what it tells.
local function start(url, changes)
  local self = server.start({})
  local log = {}
  self.log = log
  local settings = { server = place.parse(url), timeout = 5, min = 0.02, max = 0.2, jitter = 0.5 }
  for name, value in pairs(changes or {}) do settings[name] = value end
  self.carrier = carrier.new(self.context, settings)
  entry.within(self.context, self.carrier.open, self.carrier, {
    ready = function() log.is_ready = true end, lost = function() log.is_ready = false end,
    report = function(_, message) log.report = message end,
    subscribed = function(_, channel) log[#log + 1] = "subscribed " .. channel end,
    refused = function() end,
    message = function(_, channel, bytes) log[#log + 1] = channel .. " " .. bytes end,
  })
  return self
end

local function await_ready(self)
  self:pump(function()
    assert.is_nil(self.log.report)
    return self.log.is_ready
  end, "the server")
end

local function exchange(self)
  await_ready(self)
  entry.within(self.context, self.carrier.subscribe, self.carrier, "ws:a")
  self:pump(function() return self.log[1] end, "the channel")
  entry.within(self.context, self.carrier.publish, self.carrier, "ws:a", "one\r\ntwo")
  self:pump(function() return self.log[2] end, "the message")
  assert.same({ "subscribed ws:a", "ws:a one\r\ntwo" }, { self.log[1], self.log[2] })
end

for _, kind in ipairs({ "Redis", "Valkey" }) do
  local lacking = needs.reason(kind)

  describe("the connection to " .. kind, function()
    local test = needs.test(it, pending, lacking)

    after_each(function()
      server.stop_all()
      redis.stop_all()
    end)

    test("carries messages over a port and over a unix socket", function()
      local it_is = redis.new(kind):start()
      exchange(start("redis://127.0.0.1:" .. it_is.port))
      exchange(start("unix:" .. it_is.path))
    end)

    test("says user and password, and hears that one of them is wrong", function()
      local it_is = redis.new(kind, "user default off\nuser ws on >secret ~ws:* &ws:* -@all +@pubsub +@connection")
      it_is.password = "AUTH ws secret"
      it_is:start()
      local self = start("redis://ws:wrong@127.0.0.1:" .. it_is.port)
      self:pump(function() return self.log.report end)
      assert.matches("refused HELLO 3: WRONGPASS", self.log.report)
      self = start("redis://127.0.0.1:" .. it_is.port)
      self:pump(function() return self.log.report end)
      assert.matches("refused HELLO 3: NOAUTH", self.log.report)
      exchange(start("redis://127.0.0.1:" .. it_is.port, { user = "ws", password = "secret" }))
      -- A channel that this user may not have.
      self = start("redis://ws:secret@127.0.0.1:" .. it_is.port)
      await_ready(self)
      entry.within(self.context, self.carrier.subscribe, self.carrier, "other:a")
      self:pump(function() return self.log.report end)
      assert.matches("subscribe was refused: NOPERM", self.log.report)
      entry.within(self.context, self.carrier.subscribe, self.carrier, "ws:a")
      self:pump(function() return self.log[1] end)
    end)

    test("is made over TLS, and only to the server that was meant", function()
      if not has_tls then return "needs LuaSec" end
      local folder, it_is = certificates.folder(), redis.new(kind)
      local port = it_is.port
      it_is.port = 0
      it_is.lines = ("tls-port %d\ntls-cert-file %s/good.pem\ntls-key-file %s/good.key\ntls-ca-cert-file %s/ca.pem\n"
        .. "tls-auth-clients no"):format(port, folder, folder, folder)
      if not pcall(it_is.start, it_is) then return "needs " .. kind .. " with TLS" end
      exchange(start("rediss://localhost:" .. port, { tls = { cafile = folder .. "/ca.pem", alpn = false } }))
      local self = start("rediss://localhost:" .. port, { tls = { cafile = folder .. "/other_ca.pem", alpn = false } })
      self:pump(function() return self.log.report end)
      assert.matches("certificate", self.log.report)
    end)

    test("comes back after the server was killed, and after it was stopped", function()
      local it_is = redis.new(kind):start()
      local self = start("unix:" .. it_is.path)
      exchange(self)
      it_is:stop()
      self:pump(function() return not self.log.is_ready end)
      it_is:start()
      self:pump(function() return self.log[3] end)
      assert.equal("subscribed ws:a", self.log[3])
      it_is:signal("STOP")
      self:hurry(0.01)
      self:pump(function() return not self.log.is_ready end)
      self:hurry(0)
      it_is:signal("CONT")
      self:pump(function() return self.log[4] end)
      it_is:ask("PUBLISH ws:a again")
      self:pump(function() return self.log[5] end)
      assert.equal("ws:a again", self.log[5])
    end)
  end)
end
