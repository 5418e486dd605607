--- Processes that share topics by Redis or Valkey.
-- @module spec.interop.backplane_spec
local needs = require("spec.support.needs")
local redis = require("spec.support.redis")
local redis_fleet = require("spec.support.redis_fleet")
local server = require("spec.support.server")

-- Larger by hand.
local SUBSCRIBERS, MESSAGES = tonumber(os.getenv("SUBSCRIBERS") or 60), tonumber(os.getenv("MESSAGES") or 1000)

local fleet

-- Waits until each client has so many texts; as long as more come, there is time.
local function await_texts(clients, count)
  for part = 1, 20 do
    fleet:await(function()
      for _, one in ipairs(clients) do
        if #one.texts < count * part / 20 then return false end
      end
      return true
    end, count .. " messages")
  end
  fleet.server:settle()
end

for _, kind in ipairs({ "Redis", "Valkey" }) do
  local lacking = needs.reason(kind)

  describe("a back plane of " .. kind, function()
    local test = needs.test(it, pending, lacking)

    after_each(function()
      if fleet then fleet:stop() end
      fleet = nil
      server.stop_all()
      redis.stop_all()
    end)

    test("brings each message once, in order per publisher, to subscribers of four processes", function()
      local it_is = redis.new(kind):start()
      fleet = redis_fleet.start("redis://127.0.0.1:" .. it_is.port, 3)
      local clients = fleet:connect_many(SUBSCRIBERS * 3 / 4)
      for _, one in ipairs(fleet:connect_many(SUBSCRIBERS / 4, 4)) do clients[#clients + 1] = one end
      fleet:subscribe(clients, "news", it_is, 4)
      -- A publisher in each process.
      local publishers, each, last = {}, MESSAGES / 4, {}
      for i = 1, 4 do
        publishers[i] = fleet:connect(i)
        last["p" .. i] = each
      end
      for i = 1, 4 do fleet:await(function() return publishers[i].is_open end) end
      for first = 1, each, 25 do
        for i = 1, 4 do
          fleet:say(publishers[i], ("! news p%d %d %d"):format(i, first, math.min(first + 24, each)))
        end
      end
      await_texts(clients, MESSAGES)
      for _, one in ipairs(clients) do
        assert.equal(MESSAGES, #one.texts)
        assert.is_nil(redis_fleet.fault(one, last))
      end
    end)

    test("is left alone by topics without local subscribers", function()
      local it_is = redis.new(kind):start()
      fleet = redis_fleet.start("unix:" .. it_is.path, 1)
      local here, there = fleet:connect(1), fleet:connect(2)
      fleet:await(function() return here.is_open and there.is_open end)
      fleet:subscribe({ here }, "a", it_is, 1)
      fleet:subscribe({ there }, "a", it_is, 2)
      fleet:say(there, "- a")
      fleet:await(function() return it_is:subscribers("ws:t:{a}") == 1 end)
      here.ws:close()
      fleet:await(function() return it_is:subscribers("ws:t:{a}") == 0 end)
    end)

    test("carries broadcasts where it is told to", function()
      local it_is = redis.new(kind):start()
      fleet = redis_fleet.start("unix:" .. it_is.path, 1, "{ backplane = { broadcast = true, prefix = 'x' } }")
      local clients = {}
      for i = 1, 2 do clients[i] = fleet:connect(i, { protocols = { "chat" } }) end
      clients[3] = fleet:connect(2)
      fleet:await(function() return clients[1].is_open and clients[2].is_open and clients[3].is_open end)
      fleet:await(function() return it_is:subscribers("xb:chat") == 2 end)
      fleet:say(clients[1], "b hello")
      fleet:await(function() return clients[1].texts[1] and clients[2].texts[1] end)
      fleet.server:settle()
      assert.same({ "hello" }, clients[1].texts)
      assert.same({ "hello" }, clients[2].texts)
      assert.same({}, clients[3].texts)
    end)

    test("tells which names are present in all processes, and forgets those of one that is killed", function()
      local it_is = redis.new(kind):start()
      fleet = redis_fleet.start("unix:" .. it_is.path, 1, "{ backplane = { presence_timeout = 1.5 } }")
      local clients = {}
      for i = 1, 2 do clients[i] = fleet:connect(i) end
      fleet:await(function() return clients[1].is_open and clients[2].is_open end)
      local function await_names(one, names)
        fleet:await(function()
          local text = table.remove(one.texts)
          if text == names then return true end
          if text ~= nil or not one.is_asked then fleet:say(one, "p room") end
          one.is_asked = true
        end, names .. " instead of " .. tostring(one.texts[#one.texts]))
        one.is_asked = false
      end
      fleet:say(clients[1], "+ room - ada")
      fleet:say(clients[2], "+ room - grace")
      for i = 1, 2 do await_names(clients[i], "p ada grace") end
      -- The server forgets all channels.
      it_is:stop()
      it_is:start()
      fleet:say(clients[1], "+ room - linus")
      for i = 1, 2 do await_names(clients[i], "p grace linus") end
      fleet.processes[1]:kill()
      await_names(clients[2], "p grace")
    end)

    test("resumes by itself after a kill, and brings nothing twice", function()
      local it_is = redis.new(kind):start()
      fleet = redis_fleet.start("redis://127.0.0.1:" .. it_is.port, 1)
      fleet:add("any")
      local clients = {}
      for i = 1, 3 do
        for _, one in ipairs(fleet:connect_many(5, i)) do clients[#clients + 1] = one end
      end
      fleet:subscribe(clients, "news", it_is, 3)
      local publisher = fleet:connect(1)
      fleet:await(function() return publisher.is_open end)
      local first = 1
      local function publish_some()
        fleet:say(publisher, ("! news p %d %d"):format(first, first + 9))
        first = first + 10
        fleet.server:turn(1)
      end
      for _ = 1, 3 do
        for _ = 1, 20 do publish_some() end
        it_is:stop()
        for _ = 1, 20 do publish_some() end
        it_is:start()
        fleet:await(function()
          publish_some()
          return it_is:subscribers("ws:t:{news}") == 3
        end)
      end
      publish_some()
      fleet:await(function()
        for _, one in ipairs(clients) do
          if one.texts[#one.texts] ~= "p:" .. first - 1 then return false end
        end
        return true
      end, "the last message")
      for _, one in ipairs(clients) do
        local before = 0
        for _, text in ipairs(one.texts) do
          local number = tonumber(text:match("^p:(%d+)$"))
          assert.is_true(number > before, number .. " after " .. before)
          before = number
        end
      end
      -- Subscribers of the publisher's own process get everything.
      local own = 0
      for _, one in ipairs(clients) do
        if #one.texts == first - 1 then own = own + 1 end
      end
      assert.is_true(own >= 1)
    end)
  end)
end
