--- Both engines get the same generated streams, cut anywhere: they must give the same messages, the same close codes
-- and the same bytes.
-- @module spec.unit.wire.differential_spec

local new_budget = require("websockets.engine.budget").new
local socket = require "socket"
local luasocket = require "websockets.transport.luasocket"
local stream = require "websockets.wire.stream"
local streams = require "spec.support.streams"
local support = require "spec.support.engine"

local assert_same, cut, generate, generate_packed = streams.assert_same, streams.cut, streams.generate,
  streams.generate_packed
local payload, read = streams.payload, streams.read

local STREAMS = 400
local WIRE_STREAMS = 60
local DEADLINE_SECONDS = 5
local engines = support.engines()
local pure, native = engines[1].engine, engines[2] and engines[2].engine
-- A run that declines the accelerator has one beside it that insists.
local function declined() end
local it_differs = native and it or os.getenv("WEBSOCKETS_NATIVE") == "off" and declined or pending

local function it_compresses(name, body)
  if not native then return it_differs(name, body) end
  it(name, pure.can_compress() and body or function() pending("needs lua-zlib") end)
end

local LIMITS = { max_message_bytes = 8000, max_fragments = 5 }

local function options_for(role, budget)
  return { role = role, max_message_bytes = LIMITS.max_message_bytes, max_fragments = LIMITS.max_fragments,
    budget = budget }
end

describe("both engines", function()
  for _, role in ipairs { "server", "client" } do
    it_differs("read the same messages, close codes and faults as a " .. role, function()
      for seed = 1, STREAMS do
        local random = support.random(seed * 7919 + 1)
        local bytes = generate(random, role)
        local ends = cut(random, #bytes)
        local one, other = new_budget(math.huge), new_budget(math.huge)
        assert_same(read(pure, options_for(role, one), bytes, ends),
          read(native, options_for(role, other), bytes, ends), seed)
        assert.same({ 0, 0 }, { one:used(), other:used() })
      end
    end)
  end

  for _, role in ipairs { "server", "client" } do
    it_compresses("read the same messages, close codes and faults of compressed streams as a " .. role, function()
      for seed = 1, STREAMS do
        local random = support.random(seed * 6151 + 2)
        local how = { window_bits = 8 + random(7), level = random(9), no_context_takeover = random(2) == 1 }
        local bytes = generate_packed(random, role, (random(2) == 1 and pure or native).deflater(how))
        local ends = cut(random, #bytes)
        local lists = {}
        for index, engine in ipairs { pure, native } do
          local options = options_for(role, new_budget(math.huge))
          options.deflate = { inflate = how }
          lists[index] = read(engine, options, bytes, ends)
          assert.equal(0, options.budget:used())
        end
        assert_same(lists[1], lists[2], seed)
      end
    end)
  end

  it_compresses("write what inflates to the same", function()
    local random = support.random(1234)
    for bits = 9, 15 do
      for _, forgets in ipairs { true, false } do
        local how = { window_bits = bits, level = random(9), threshold = random(40), no_context_takeover = forgets }
        for _, pair in ipairs { { pure, native }, { native, pure } } do
          local options = options_for("client", nil)
          options.max_message_bytes, options.deflate = 2 ^ 20, { inflate = how }
          local copy = {}
          for name, value in pairs(how) do copy[name] = value end
          local writer = pair[1].writer { role = "server", deflate = { deflate = copy } }
          local reader, batch = pair[2].reader(options), {}
          for _ = 1, 40 do
            local data = payload(random)
            assert.equal(1, (reader:feed(writer:encode(2, data), batch)))
            assert.is_true(batch[1] == 2 and batch[2] == data)
          end
        end
      end
    end
  end)

  it_differs("write the same bytes", function()
    local random = support.random(4711)
    local one, other = pure.writer { role = "server" }, native.writer { role = "server" }
    for _ = 1, STREAMS do
      local opcode, data, fin = random(16) - 1, payload(random), random(2) == 1
      assert.is_true(one:encode(opcode, data, fin) == other:encode(opcode, data, fin))
    end
    for size = 65530, 65540 do
      assert.is_true(one:encode(2, ("x"):rep(size)) == other:encode(2, ("x"):rep(size)))
    end
  end)

  it_differs("compute the same keys and UTF-8 states", function()
    local random = support.random(99)
    for _ = 1, STREAMS do
      local data = payload(random)
      assert.equal(pure.accept_key(data), native.accept_key(data))
      assert.equal(pure.valid_utf8(data), native.valid_utf8(data))
      local first = random(#data + 1)
      assert.equal(pure.utf8_next(0, data, first, #data), native.utf8_next(0, data, first, #data))
    end
  end)
end)

describe("both wires, over sockets,", function()
  local open, hub

  local function pair()
    local listener = assert(socket.bind("127.0.0.1", 0))
    listener:settimeout(DEADLINE_SECONDS)
    local ip, port = listener:getsockname()
    local peer = assert(socket.connect(ip, port))
    local here = assert(listener:accept())
    listener:close()
    peer:setoption("tcp-nodelay", true)
    peer:settimeout(0)
    open[#open + 1] = peer
    return peer, here
  end

  local makers = {}

  local QUEUE = { high_water_bytes = 65536, max_buffered_bytes = 2 ^ 24 }

  local function settings_with(deflate)
    return { role = "server", max_message_bytes = 8000, max_fragments = 5, limits = QUEUE, deflate = deflate }
  end

  function makers.pure(here, leftover, deflate)
    local wire = stream.new(stream.hub(), luasocket.new(here), pure, QUEUE)
    wire:start(settings_with(deflate), leftover)
    return wire
  end

  function makers.native(here, leftover, deflate)
    local wires = require "websockets.wire.native"
    hub = hub or wires.hub({
      high_water_bytes = 65536, max_buffered_bytes = 2 ^ 24, max_unfinished_total_bytes = 2 ^ 30,
    })
    local wire = assert(wires.adopt(hub, here))
    wire:start(settings_with(deflate), leftover)
    return wire
  end

  before_each(function() open, hub = {}, nil end)
  after_each(function()
    for _, one in ipairs(open) do one:close() end
  end)

  local function send(peer, bytes)
    local from, ends = 1, socket.gettime() + DEADLINE_SECONDS
    while from <= #bytes do
      assert(socket.gettime() < ends, "the socket takes nothing")
      local last, _, partial = peer:send(bytes, from)
      from = (last or partial) + 1
    end
  end

  -- Every message is echoed; a breach, and the end of the stream, end it.
  local function run(kind, bytes, ends, deflate)
    local peer, here = pair()
    local leftover = bytes:sub(1, ends[1])
    local wire, batch, list, from = makers[kind](here, leftover, deflate), {}, {}, ends[1] + 1
    local echoed, time = {}, socket.gettime() + DEADLINE_SECONDS
    local position = 2
    while true do
      assert(socket.gettime() < time, "no end")
      local count, why = wire:read(batch)
      for index = 1, 2 * (count or 0) do list[#list + 1] = batch[index] end
      for index = 1, 2 * (count or 0), 2 do
        if batch[index] <= 2 then assert(wire:push(batch[index], batch[index + 1])) end
      end
      wire:flush()
      local _, _, partial = peer:receive(65536)
      if partial then echoed[#echoed + 1] = partial end
      if not count and why == "closed" then break end
      if not count and position <= #ends then
        send(peer, bytes:sub(from, ends[position]))
        from, position = ends[position] + 1, position + 1
        if position > #ends then peer:shutdown("send") end
      elseif not count and #ends == 1 then
        peer:shutdown("send")
      end
    end
    while wire:buffered() > 0 do
      wire:flush()
      local _, _, partial = peer:receive(65536)
      echoed[#echoed + 1] = partial or ""
    end
    wire:close()
    peer:settimeout(DEADLINE_SECONDS)
    local data, _, partial = peer:receive("*a")
    echoed[#echoed + 1] = data or partial
    return list, table.concat(echoed)
  end

  it_differs("read the same messages and echo the same bytes", function()
    for seed = 1, WIRE_STREAMS do
      local random = support.random(seed * 104729 + 3)
      local bytes = generate(random, "server")
      local ends = cut(random, #bytes)
      if #ends < 200 then
        local one, echoed_one = run("pure", bytes, ends)
        local other, echoed_other = run("native", bytes, ends)
        assert_same(one, other, seed)
        assert.is_true(echoed_one == echoed_other, "stream " .. seed .. ": the echo")
      end
    end
    assert.equal(0, (select(2, hub.source:totals())))
    assert.equal(0, (hub.source:totals()))
  end)

  it_compresses("read the same compressed messages and echo what inflates to the same", function()
    for seed = 1, WIRE_STREAMS do
      local random = support.random(seed * 3571 + 4)
      local how = { window_bits = 8 + random(7), level = random(9), threshold = random(40) - 1,
        no_context_takeover = random(2) == 1 }
      local bytes = generate_packed(random, "server", (random(2) == 1 and pure or native).deflater(how))
      local ends, lists = cut(random, #bytes), {}
      if #ends < 200 then
        for index, kind in ipairs { "pure", "native" } do
          local copy = {}
          for name, value in pairs(how) do copy[name] = value end
          local list, echoed = run(kind, bytes, ends, { deflate = copy, inflate = how })
          local options = options_for("client", nil)
          options.max_message_bytes, options.deflate = 2 ^ 20, { inflate = how }
          lists[index], lists[index + 2] = list, read(pure, options, echoed, { #echoed })
        end
        assert_same(lists[1], lists[2], seed)
        assert_same(lists[3], lists[4], seed)
      end
    end
    assert.equal(0, (hub.source:totals()))
  end)
end)
