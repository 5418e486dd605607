--- Hubs of the accelerator: which descriptors are ready, reading from many at once, answers that leave during a turn.
-- @module spec.behaviour.native_hub_spec
local socket = require("socket")
local client = require("spec.support.client")
local server = require("spec.support.server")

local TEXT, OTHER, TOO_BIG = 1, 3, 1009
local it_native = server.is_native and it or os.getenv("WEBSOCKETS_NATIVE") == "off" and function() end or pending

describe("a hub of the accelerator", function()
  after_each(server.stop_all)

  -- A server with open connections, on which each client has sent its number.
  local function start(count)
    local all, peers = {}, {}
    local s = server.start({ protocols = { a = function(ws) all[#all + 1] = ws end } })
    for number = 1, count do peers[number] = client.open(s, "a") end
    s:settle()
    for number, c in ipairs(peers) do c:send(c:frame(TEXT, tostring(number))) end
    return s, all
  end

  local function read(s, readable, owners)
    local takers, opcodes, payloads, seen = {}, {}, {}, {}
    local hub = s.context.hub
    local count, next_place = hub.read(hub.source, readable, 1, #readable, owners or s.context.owners, takers, opcodes,
      payloads)
    assert.equal(#readable + 1, next_place)
    for place = 1, #readable do assert.is_false(readable[place]) end
    for i = 1, count do seen[i] = { takers[i], opcodes[i], payloads[i] } end
    return seen
  end

  it_native("names what can be read by descriptor, and what can be written by owner", function()
    local s, all = start(2)
    local owners, readable, writable = {}, {}, {}
    owners[all[1].fd], owners[all[2].fd] = "one", "two"
    all[2].wire:watch(true)
    local reads, writes = s.context.hub.source:wait(0, owners, readable, writable)
    assert.same({ 2, 1 }, { reads, writes })
    table.sort(readable)
    assert.same({ math.min(all[1].fd, all[2].fd), math.max(all[1].fd, all[2].fd) }, readable)
    assert.same({ "two" }, writable)
  end)

  it_native("reads messages of direct wires, and names the others", function()
    local s, all = start(3)
    all[2].wire:direct(false)
    local seen = read(s, { all[3].fd, all[2].fd, all[1].fd, s.context.listener.fd })
    assert.same({ TEXT, "3", OTHER, false, TEXT, "1", OTHER, false },
      { seen[1][2], seen[1][3], seen[2][2], seen[2][3], seen[3][2], seen[3][3], seen[4][2], seen[4][3] })
    for i, owner in ipairs({ all[3], all[2], all[1], s.context.listener }) do assert.equal(owner, seen[i][1]) end
    all[2].wire:direct(true)
    seen = read(s, { all[2].fd })
    assert.same({ 1, TEXT, "2" }, { #seen, seen[1][2], seen[1][3] })
  end)

  it_native("passes over descriptors without an owner, and places that are done with", function()
    local s, all = start(3)
    local owners = { [all[1].fd] = all[1], [all[2].fd] = all[2] }
    local seen = read(s, { all[3].fd, false, all[2].fd, false, all[1].fd }, owners)
    assert.same({ 2, "2", "1" }, { #seen, seen[1][3], seen[2][3] })
    -- It was not read.
    assert.same({ "3" }, { read(s, { all[3].fd })[1][3] })
  end)

  it_native("has no wire for a descriptor once it is closed", function()
    local s, all = start(1)
    local fd = all[1].fd
    all[1].wire:close()
    all[1].wire:direct(true)
    local seen = read(s, { fd })
    assert.same({ 1, OTHER, false }, { #seen, seen[1][2], seen[1][3] })
  end)

  it_native("takes settings from a table and from the one that its __index names", function()
    local core = require("websockets_native")
    local settings = setmetatable({ is_server = true }, { __index = { max_message_bytes = 3, max_fragments = 2 } })
    local batch = {}
    assert.equal(1, (core.feed(core.reader(settings), "\129\131\0\0\0\0abc", batch, 0)))
    assert.same({ TEXT, "abc" }, batch)
    assert.equal(1, (core.feed(core.reader(settings), "\129\132\0\0\0\0abcd", batch, 0)))
    assert.equal(TOO_BIG, batch[1])
  end)

  it_native("sends answers a few at a time while it reads many connections", function()
    local PEERS, LEAST, served, is_first_answered = 150, 130, 0, nil
    local payload, peers = ("x"):rep(1000), {}
    local s = server.start({ protocols = { a = function(ws)
      ws:on_receive(function(it, data)
        served = served + 1
        assert(it:write(data) == 0)
        if served == LEAST then
          local answered = socket.select(peers, nil, 0)
          is_first_answered = #answered >= 64 and #answered < LEAST
        end
      end)
    end } })
    local all = {}
    for number = 1, PEERS do
      all[number] = client.open(s, "a")
      peers[number] = all[number].connection
    end
    s:settle()
    local sends = select(3, s.context.hub.source:totals())
    for _, c in ipairs(all) do c:send(c:frame(TEXT, payload)) end
    s.context:service(0)
    assert.equal(PEERS, served)
    assert.is_true(is_first_answered)
    for _, c in ipairs(all) do assert.same({ TEXT, payload }, { c:message() }) end
    assert.equal(PEERS, select(3, s.context.hub.source:totals()) - sends)
  end)

  it_native("sends nothing before the end of the turn where connections write to each other", function()
    local PEERS, served, answered = 150, 0, 0
    local payload, peers, all, first = ("x"):rep(1000), {}, {}, nil
    local s = server.start({ protocols = { a = function(ws)
      first = first or ws
      ws:on_receive(function(it, data)
        served = served + 1
        assert(it:write(data) == 0 and first:write("y") == 0)
        answered = math.max(answered, #socket.select(peers, nil, 0))
      end)
    end } })
    for number = 1, PEERS do
      all[number] = client.open(s, "a")
      peers[number] = all[number].connection
    end
    s:settle()
    -- The first one's own message would come first: only others write to it.
    for number = 2, PEERS do all[number]:send(all[number]:frame(TEXT, payload)) end
    s.context:service(0)
    assert.same({ PEERS - 1, 0 }, { served, answered })
    for number = 2, PEERS do assert.same({ TEXT, payload }, { all[number]:message() }) end
    for _ = 2, PEERS do assert.same({ TEXT, "y" }, { all[1]:message() }) end
  end)
end)
