--- A server whose address space is limited: what finds no memory ends one connection, and the others are served.
-- @module spec.behaviour.little_memory_spec
local child = require("spec.support.child")
local plain_client = require("spec.support.plain_client")
local server = require("spec.support.server")

local MIB = 2 ^ 20
local LIMIT_MIB, MESSAGE_MIB, BOMB_MIB = 400, 300, 500
local PIECE = ("x"):rep(MIB)
local MOST_CPU = 0.5
local RAW, PACKED = "\130", "\194"
local OFFER = "Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover\r\n"

describe("a server with little memory", function()
  local program, port, beside

  local function open(headers)
    local one = plain_client.connect(port)
    one:request("/", "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
      .. "Sec-WebSocket-Protocol: p\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" .. (headers or ""))
    return one, one:read_head():lower()
  end

  -- A message; on a slow machine pings are due before it.
  local function read(one)
    local payload, opcode
    repeat payload, opcode = one:read_message() until opcode <= 8
    return payload, opcode
  end

  local function ask(text)
    beside:write(text)
    return (read(beside))
  end

  -- Sends bytes until the peer ends the connection.
  local function send(one, bytes)
    one.connection:settimeout(20)
    local last = one.connection:send(bytes)
    one.connection:settimeout(0)
    return last ~= nil
  end

  local function header(first, size)
    local bytes = {}
    for i = 8, 1, -1 do
      bytes[i] = string.char(size % 256)
      size = math.floor(size / 256)
    end
    return first .. "\255" .. table.concat(bytes) .. "\0\0\0\0"
  end

  before_each(function()
    local lua = child.quote(child.this_lua())
    program = child.start(("sh -c 'ulimit -v %d; exec \"$0\" spec/support/little_memory.lua' %s")
      :format(LIMIT_MIB * 1024, lua))
    port = tonumber(program:expect("^port=(%d+)"))
    beside = open()
    assert.equal("before", ask("before"))
  end)

  after_each(function()
    beside:close()
    program:stop()
  end)

  -- The context has not been busy with what cannot be had.
  local function assert_idle()
    assert.is_true(tonumber(ask("idle")) < MOST_CPU)
  end

  local function assert_lives()
    assert.equal("after", ask("after"))
    local new = open()
    new:write("new")
    assert.equal("new", (read(new)))
    new:close()
    assert_idle()
    beside:write("stop")
    assert.matches("end=true\n$", program:rest())
  end

  it("ends a connection whose message finds none, with 1011", function()
    if not server.is_native then return pending("pure Lua raises, which allocation_spec looks at") end
    local one = open()
    send(one, header(RAW, MESSAGE_MIB * MIB))
    for i = 1, MESSAGE_MIB do
      if not send(one, PIECE) then break end
      if i == 100 then assert.equal("meanwhile", ask("meanwhile")) end
    end
    assert.equal("1011 error no memory for a message", program:expect("^closed=(.*)"))
    assert.same({ "\3\243", 8 }, { read(one) })
    one:close()
    assert_lives()
  end)

  it("ends a connection whose message finds none when it is inflated, with 1011", function()
    if not server.is_native then return pending("pure Lua raises, which allocation_spec looks at") end
    local one, head = open(OFFER)
    assert.matches("permessage%-deflate", head)
    local engines = require("websockets.engine.loader")
    local deflater = engines.that_compresses(engines.choose()).deflater({
      window_bits = 15, level = 9, no_context_takeover = true,
    })
    local block = deflater:deflate(("\0"):rep(MIB))
    local bytes = (block .. "\0\0\255\255"):rep(BOMB_MIB)
    send(one, header(PACKED, #bytes - 4) .. bytes:sub(1, -5))
    assert.equal("1011 error no memory for a message", program:expect("^closed=(.*)"))
    one:close()
    assert_lives()
  end)

  it("raises for a broadcast that finds none, and nobody is ended", function()
    local one = open()
    beside:write("all")
    local answer = read(beside)
    assert.matches("^broadcast .*not enough memory$", answer)
    one:write("still here")
    assert.equal("still here", (read(one)))
    one:close()
    assert_lives()
  end)
end)
