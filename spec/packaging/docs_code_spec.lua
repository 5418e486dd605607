--- The code in README and docs: programs do what the text says, and fragments are Lua.
-- @module spec.packaging.docs_code_spec
--
-- A block that begins with "```lua NAME" is a whole program; SCENARIOS says how it is used. A block without a name is a
-- fragment. Programs run as a reader would run them, but on a port that the system chooses.

local child = require "spec.support.child"
local facts = require "websockets.http.facts"
local libev = require "spec.support.libev"
local loader = require "websockets.engine.loader"
local markdown = require "spec.support.markdown"
local plain_client = require "spec.support.plain_client"
local socket = require "socket"

local PORT = "port = 8002"
local ADDRESS = "localhost:8002"
local LINK = "^%a+://localhost:(%d+)/$"
local TICK_SECONDS = 0.1
local ROUND_TRIPS = 50
local LIMIT_SECONDS = 30
local UPGRADE = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
  .. "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

local compile = loadstring or load

local programs, fragments, blocks = {}, {}, {}
for _, page in ipairs(markdown.pages()) do
  for _, block in ipairs(markdown.blocks(markdown.read(page))) do
    block.title = page .. ":" .. block.line
    if block.language == "lua" then blocks[#blocks + 1] = block end
    if block.language == "lua" and block.name then
      programs[block.name] = block
    elseif block.language == "lua" then
      fragments[#fragments + 1] = block
    end
  end
end

local folder, running, clients

local function replace(code, old, new)
  local first, last = code:find(old, 1, true)
  assert(first and not code:find(old, last, true), "not exactly once in the program: " .. old)
  return code:sub(1, first - 1) .. new .. code:sub(last + 1)
end

local function write(name, text)
  local path = folder .. "/" .. name
  local file = assert(io.open(path, "w"))
  file:write(text)
  file:close()
end

-- Starts a program in the folder of this test. It ends after half a minute at the latest.
local function start(name, code, environment)
  write(name .. ".lua", code)
  local version = _VERSION:match("%d+%.%d+"):gsub("%.", "_")
  local path = child.quote(os.getenv("PWD") .. "/lua/?.lua;;")
  local command = ("cd %s && %s -e 'io.stdout:setvbuf(\"line\")' %s.lua; echo ended $?"):format(child.quote(folder),
    child.quote(child.this_lua()), name)
  local program = child.start("sh -c " .. child.quote(command), ("LUA_PATH=%s LUA_PATH_%s=%s %s"):format(path, version,
    path, environment or ""), LIMIT_SECONDS)
  running[#running + 1] = program
  return program
end

-- Starts a server; gives its port.
local function serve(name, environment)
  local code = replace(programs[name].code, PORT, 'port = "any", interf = "127.0.0.1"')
  return tonumber((start(name, code, environment):expect(LINK)))
end

-- Runs a client until it ends by itself.
local function run_client(name, port)
  local code = replace(programs[name].code, ADDRESS, "localhost:" .. port)
  return start(name, code):rest()
end

local function connect(port, target, headers)
  local client = plain_client.connect(port)
  clients[#clients + 1] = client
  if target then
    client:request(target, headers)
    client.head = client:read_head()
    client.status = tonumber(client.head:match("^HTTP/1%.1 (%d+)"))
  end
  return client
end

local function open(port, target, headers)
  local client = connect(port, target, UPGRADE .. (headers or ""))
  assert.equal(101, client.status, client.head)
  return client
end

-- A closing handshake. When the connection has ended, the server has called `on_closed`.
local function leave(client)
  client:send("\136\128\0\0\0\0")
  assert.same({ "", 8 }, { client:read_message() })
  assert.is_false(client:fill())
end

local function assert_echo(port)
  local client = open(port, "/")
  for _, text in ipairs({ "one", "", ("x"):rep(125) }) do
    client:write(text)
    assert.same({ text, 1 }, { client:read_message() })
  end
end

local function closed_port()
  local listener = assert(socket.bind("127.0.0.1", 0))
  local _, port = listener:getsockname()
  listener:close()
  return port
end

local SCENARIOS = {}

SCENARIOS["echo-server"] = function()
  local port = serve("echo-server")
  assert_echo(port)
  assert_echo(port)
end

SCENARIOS["echo-client"] = function()
  assert.equal("hello\nclosed\t1000\tclosed\nended 0\n", run_client("echo-client", serve("echo-server")))
  assert.equal("closed\t1006\trefused\nended 0\n", run_client("echo-client", closed_port()))
end

SCENARIOS["chat-with-clock"] = function()
  local port = serve("chat-with-clock")
  local first = open(port, "/", "Sec-WebSocket-Protocol: chat\r\n")
  local second = open(port, "/", "Sec-WebSocket-Protocol: chat\r\n")
  local ticks, begin = 0, socket.gettime()
  for number = 1, ROUND_TRIPS do
    first:write("message " .. number)
    for _, client in ipairs({ first, second }) do
      local text = client:read_message()
      while text ~= "message " .. number do
        if client == first then ticks = ticks + 1 end
        text = client:read_message()
      end
    end
  end
  -- A turn is served for each message, but the time is told every 100 ms only.
  local most = (socket.gettime() - begin) / TICK_SECONDS + 2
  assert.is_true(ticks <= most, ("%d times in %d round trips, at most %.1f expected"):format(ticks, ROUND_TRIPS, most))
  for _ = 1, 2 do assert.matches("%d%d:%d%d", (second:read_message())) end
end

SCENARIOS["chat-client"] = function()
  local said = run_client("chat-client", serve("chat-with-clock"))
  assert.matches("^open\tchat\nreceived\t[^\n]+\nclosed\t1000\tclosed\nended 0\n$", said)
end

SCENARIOS["pages-and-rooms"] = function()
  local port = serve("pages-and-rooms")
  for target, expected in pairs({ ["/"] = "<h1>Shop</h1>", ["/api/items/milk"] = '{"count":2}' }) do
    local status, _, body = connect(port):get(target)
    assert.same({ 200, expected }, { status, body })
  end
  for _, target in ipairs({ "/nothing", "/api/items/tea" }) do assert.equal(404, connect(port, target).status) end
  local chat = "Sec-WebSocket-Protocol: chat\r\n"
  assert.equal(401, connect(port, "/live/red", UPGRADE .. chat).status)
  assert.equal(401, connect(port, "/live/red", UPGRADE .. chat .. "Cookie: session=secret-2\r\n").status)
  chat = chat .. "Cookie: session=secret-1\r\n"
  local first, second = open(port, "/live/red", chat), open(port, "/live/red", chat)
  local other = open(port, "/live/blue", chat)
  local function rooms() return (select(3, connect(port):get("/api/rooms"))) end
  first:write("hi")
  for _, client in ipairs({ first, second }) do assert.equal("ann: hi", (client:read_message())) end
  other:write("blue")
  -- Its first message: it has heard nothing of the other room.
  assert.equal("ann: blue", (other:read_message()))
  leave(first)
  second:write("who")
  assert.equal("ann: who", (second:read_message()))
  assert.matches("red", rooms())
  leave(second)
  assert.equal("blue", rooms())
end

SCENARIOS.site = function()
  if not facts.are_known(loader.choose()) then return pending("needs lua-filesystem or the accelerator") end
  assert(os.execute(("mkdir %s/site %s/assets"):format(folder, folder)))
  write("site/index.html", "<h1>Home</h1>")
  write("assets/app.js", "let a")
  write("LICENSE.txt", "free")
  local port = serve("site")
  for target, expected in pairs({
    ["/"] = { "text/html; charset=utf-8", "<h1>Home</h1>" }, ["/licence"] = { "text/plain; charset=utf-8", "free" },
    ["/static/app.js"] = { "text/javascript; charset=utf-8", "let a", "max-age=3600" },
  }) do
    local status, head, body = connect(port):get(target)
    assert.equal(200, status)
    assert.same(expected, { head:match("content%-type: ([^\r]*)"), body, head:match("cache%-control: ([^\r]*)") })
  end
end

SCENARIOS["waiting-room"] = function()
  local port = serve("waiting-room")
  for number = 1, 3 do assert.equal("your number is " .. number, (open(port, "/"):read_message())) end
end

SCENARIOS["select-loop"] = function()
  local port = serve("select-loop")
  assert_echo(port)
  assert_echo(port)
end

SCENARIOS["ev-loop"] = function()
  local ev, made = libev.load()
  if not ev then return pending(made) end
  finally(function() libev.remove(made) end)
  local port = serve("ev-loop", libev.environment())
  assert_echo(port)
  assert_echo(port)
end

describe("the documentation's", function()
  before_each(function() folder, running, clients = child.make_folder(), {}, {} end)
  after_each(function()
    for _, one in ipairs(clients) do one:close() end
    for _, one in ipairs(running) do one:stop() end
    child.remove_folder(folder)
  end)

  for name, block in pairs(programs) do
    it("program " .. name .. " does its work", function()
      assert(SCENARIOS[name], block.title .. " has no scenario")()
    end)
  end

  it("programs are all there", function()
    for name in pairs(SCENARIOS) do assert.truthy(programs[name], name) end
  end)

  it("code calls no method in a tail call, which would hide the line of an error", function()
    blocks[#blocks + 1] = { title = "examples/todo/server.lua", code = markdown.read("examples/todo/server.lua") }
    assert.is_true(#blocks > 10)
    for _, block in ipairs(blocks) do
      assert.is_nil(block.code:match("return%s+[%w_.]+:%w+[({]"), block.title)
    end
  end)

  for _, block in ipairs(fragments) do
    it("fragment " .. block.title .. " is Lua", function()
      assert(compile(block.code, "@" .. block.title))
    end)
  end
end)
