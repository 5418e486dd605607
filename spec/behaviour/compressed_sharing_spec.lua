--- Compression and many connections: what they share, what they hold, what a full queue may lose.
-- @module spec.behaviour.compressed_sharing_spec
local client = require("spec.support.client")
local compressed = require("spec.support.compressed")
local server = require("spec.support.server")
local support = require("spec.support.engine")

local engine = require("websockets.engine.loader").choose()

local WRITE_BINARY = 1

local FRESH_OFFER = "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover\r\n"
local OFFER, TEXT, PACKED_TEXT = compressed.OFFER, compressed.TEXT, compressed.PACKED_TEXT
local start, open, read_frame = compressed.start, compressed.open, compressed.read_frame

if not compressed.is_available() then
  pending("needs lua-zlib or the accelerator")
  return
end

describe("a broadcast to compressed connections", function()
  after_each(server.stop_all)

  -- Counts what is compressed by all deflaters of the pure engine; the accelerator counts in a test of its own.
  local function count_deflations(work)
    local meta, count = getmetatable(engine.deflater({ window_bits = 15, level = 6 })), 0
    local real = meta.deflate
    meta.deflate = function(...)
      count = count + 1
      return real(...)
    end
    local is_good, err = pcall(work)
    meta.deflate = real
    assert(is_good, err)
    return count
  end

  it("compresses once for all that keep no context and have the same window", function()
    local s = start({ compression = true })
    local all, plain = {}, open(s, "")
    for i = 1, 4 do all[i] = open(s, FRESH_OFFER) end
    all[5] = open(s, (FRESH_OFFER:gsub("\r\n", "; client_max_window_bits=11\r\n")))
    for i = 6, 7 do all[i] = open(s, (FRESH_OFFER:gsub("\r\n", "; server_max_window_bits=10\r\n"))) end
    local kept = open(s)
    local deflations = count_deflations(function() assert.equal(0, s.context:broadcast("a", TEXT)) end)
    if engine.name == "pure" then assert.equal(3, deflations) end
    local first, bytes = read_frame(all[1])
    assert.equal(PACKED_TEXT, first)
    for i = 2, 5 do assert.same({ first, bytes }, { read_frame(all[i]) }) end
    local inflater = support.inflater(engine, { window_bits = 10, no_context_takeover = true })
    for i = 6, 7 do assert.equal(TEXT, inflater:inflate(select(2, read_frame(all[i])), true, #TEXT)) end
    assert.same({ 0x81, TEXT }, { read_frame(plain) })
    local reader = support.inflater(engine, { window_bits = 15 })
    assert.equal(TEXT, reader:inflate(select(2, read_frame(kept)), true, #TEXT))
    s.context:broadcast("a", TEXT)
    assert.equal(TEXT, reader:inflate(select(2, read_frame(kept)), true, #TEXT))
  end)

  it("compresses a message of a topic once for all, too", function()
    local s = start({ compression = true }, function(ws) ws:subscribe("t") end)
    local all = {}
    for i = 1, 4 do all[i] = open(s, FRESH_OFFER) end
    local deflations = count_deflations(function() assert.is_true(s.context:publish("t", TEXT)) end)
    if engine.name == "pure" then assert.equal(1, deflations) end
    local first, bytes = read_frame(all[1])
    assert.equal(PACKED_TEXT, first)
    for i = 2, 4 do assert.same({ first, bytes }, { read_frame(all[i]) }) end
  end)
end)

describe("what the codec holds", function()
  after_each(server.stop_all)

  -- Runs `work(alive)`; `alive()` tells how many streams there are that have not ended.
  local function with_count(work)
    local zlib, count = require("zlib"), 0
    local real = { inflate = zlib.inflate, deflate = zlib.deflate }
    local function watch(make)
      return function(...)
        local stream = make(...)
        count = count + 1
        return function(...)
          local out, ended, taken, made = stream(...)
          if ended then count = count - 1 end
          return out, ended, taken, made
        end
      end
    end
    zlib.inflate, zlib.deflate = watch(real.inflate), watch(real.deflate)
    local is_good, err = pcall(work, function() return count end)
    zlib.inflate, zlib.deflate = real.inflate, real.deflate
    assert(is_good, err)
  end

  local function send_packed(c)
    local payload = engine.deflater({ window_bits = 15, level = 6, no_context_takeover = true }):deflate(TEXT)
    c:send((c:frame(1, payload):gsub("^.", "\193")))
  end

  it("is nothing while connections are idle that keep no context", function()
    if engine.name ~= "pure" then pending("streams are counted in pure Lua only") end
    with_count(function(alive)
      local s = start({ compression = { server_no_context_takeover = true, client_no_context_takeover = true } },
        server.echo)
      local all = {}
      for i = 1, 10 do all[i] = open(s) end
      assert.equal(0, alive())
      for i = 1, 10 do
        send_packed(all[i])
        assert.equal(PACKED_TEXT, (read_frame(all[i])))
      end
      -- Those of the ten peers, and the one that all our ends share.
      assert.equal(10 + 1, alive())
    end)
  end)

  it("is given back when a connection ends that kept its context", function()
    if engine.name ~= "pure" then pending("streams are counted in pure Lua only") end
    with_count(function(alive)
      local s, log = start({ compression = true }, server.echo)
      local c = client.open(s, { protocol = "a", headers = OFFER })
      send_packed(c)
      assert.equal(PACKED_TEXT, (read_frame(c)))
      assert.equal(1 + 2, alive())
      c:close()
      s:pump(function() return log.closed[1] end)
      s:turns(1)
      assert.equal(1, alive())
    end)
  end)
end)

describe("a queue of compressed messages", function()
  after_each(server.stop_all)

  it("may lose some: what still comes can be inflated, for no context is kept", function()
    for _, policy in ipairs({ "drop_new", "drop_old", "conflate" }) do
      local s, log = start({
        compression = true, slow_consumer = policy, max_buffered_bytes = 20000, high_water_bytes = 10000,
      })
      local c = open(s)
      assert.equal("permessage-deflate; server_no_context_takeover", c.headers["sec-websocket-extensions"])
      local noise, state = {}, 7
      for i = 1, 3000 do
        state = state * 16807 % 2147483647
        noise[i] = string.char(97 + state % 26)
      end
      local text = table.concat(noise)
      local lost = 0
      for i = 1, 4000 do
        if log.ws[1]:write(i .. " " .. text) ~= 0 then lost = lost + 1 end
      end
      local count, last = 0, nil
      local reader = engine.reader({ role = "client", max_message_bytes = 1e6, max_fragments = 10,
        deflate = { inflate = { window_bits = 15, no_context_takeover = true } } })
      c.reader = reader
      log.ws[1]:close(1000)
      while true do
        local opcode, payload = c:message()
        if opcode == 8 then break end
        assert.equal(1, opcode)
        count, last = count + 1, tonumber(payload:match("^%d+"))
        assert.equal(text, payload:match(" (.*)$"))
      end
      assert.is_true(count < 4000, policy)
      assert.is_true(last > 1 and (policy == "drop_new" or last == 4000), policy)
      assert.equal(policy == "drop_new", lost > 0)
      server.stop_all()
    end
  end)

  it("keeps its context where topics lose messages: those have not been compressed", function()
    for _, policy in ipairs({ "drop_new", "drop_old", "conflate" }) do
      local s, log = start({
        compression = true, topics = { t = { slow_consumer = policy } },
        max_buffered_bytes = 20000, high_water_bytes = 10000,
      }, function(ws) ws:subscribe("t") end)
      local c = open(s)
      assert.equal("permessage-deflate", c.headers["sec-websocket-extensions"])
      local noise, number = assert(io.open("/dev/urandom", "rb")), 0
      -- Until so many are lost that the system takes no more.
      s:pump(function()
        for _ = 1, 50 do
          number = number + 1
          s.context:publish("t", number .. " " .. noise:read(3000), WRITE_BINARY)
        end
        return s.context:dropped("t") >= 100
      end, "drops")
      noise:close()
      c.reader = engine.reader({ role = "client", max_message_bytes = 1e6, max_fragments = 10,
        deflate = { inflate = { window_bits = 15 } } })
      local last, count = 0, 0
      log.ws[1]:close(1000)
      while true do
        local opcode, payload = c:message()
        if opcode == 8 then break end
        assert.equal(2, opcode)
        local at = tonumber(payload:match("^%d+"))
        assert.is_true(at > last)
        assert.equal(#tostring(at) + 1 + 3000, #payload)
        last, count = at, count + 1
      end
      assert.equal(number, count + s.context:dropped())
      assert.is_true(policy == "drop_new" or last == number)
      server.stop_all()
    end
  end)

  it("may lose some on a route that says so, in a context that does not", function()
    local s = start({ compression = true, routes = { ["/lossy"] = { slow_consumer = "drop_old",
      protocols = { a = function() end } } } })
    local c = client.open(s, { protocol = "a", headers = OFFER, target = "/lossy" })
    assert.equal("permessage-deflate; server_no_context_takeover", c.headers["sec-websocket-extensions"])
    assert.equal("permessage-deflate", open(s).headers["sec-websocket-extensions"])
  end)
end)
