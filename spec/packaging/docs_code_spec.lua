--- The code in README and docs: programs do what the text says, and fragments are Lua.
-- @module spec.packaging.docs_code_spec
--
-- A block that begins with "```lua NAME" is a whole program; SCENARIOS says how it is used. A block without a name is a
-- fragment. Programs run as a reader would run them, but on a port that the system chooses.

local child = require "spec.support.child"
local copas = require "spec.support.copas"
local facts = require "websockets.http.facts"
local libev = require "spec.support.libev"
local loader = require "websockets.engine.loader"
local markdown = require "spec.support.markdown"
local needs = require "spec.support.needs"
local plain_client = require "spec.support.plain_client"
local ports = require "spec.support.ports"
local redis = require "spec.support.redis"
local socket = require "socket"
local two_x = require "spec.support.two_x"

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
  local command = ("cd %s && %s -e 'io.stdout:setvbuf(\"line\")' %s.lua; echo ended $?"):format(child.quote(folder),
    child.quote(child.this_lua()), name)
  local program = child.start("sh -c " .. child.quote(command), child.library_path() .. " " .. (environment or ""),
    LIMIT_SECONDS)
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

-- In a process of its own: this one may not take a copy of luv that is forgotten with this file.
local function can_require(module)
  return select(2, child.run(("%s -e %s"):format(child.quote(child.this_lua()),
    child.quote(("require %q"):format(module))))) == 0
end

local SCENARIOS = {}

SCENARIOS["echo-server"] = function()
  local port = serve("echo-server")
  assert_echo(port)
  assert_echo(port)
end

SCENARIOS["script-client"] = function()
  assert.equal("hello\t0\nended 0\n", run_client("script-client", serve("echo-server")))
  assert.matches("cannot connect to localhost:%d+: connection refused %(refused%)\n.*ended 1\n$",
    run_client("script-client", ports.refusing()))
end

SCENARIOS.listener = function()
  local feed = start("feed", [[
    local context = require("websockets").context{ port = "any", interf = "127.0.0.1", default = function(ws)
      ws:on_receive(function(ws, data)
        for i = 1, 3 do ws:write(data .. i) end
        ws:close(1000, "enough")
      end)
    end }
    print("ws://localhost:" .. context:get_port() .. "/")
    context:run()]])
  assert.equal("subscribe1\nsubscribe2\nsubscribe3\nended\ttrue\t1000\tenough\nended 0\n",
    run_client("listener", tonumber((feed:expect(LINK)))))
end

SCENARIOS["chat-with-clock"] = function()
  local port = serve("chat-with-clock")
  local ticks, begin = 0, socket.gettime()
  local first = open(port, "/", "Sec-WebSocket-Protocol: chat\r\n")
  local second = open(port, "/", "Sec-WebSocket-Protocol: chat\r\n")
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
  assert.equal("closed\t1006\trefused\nended 0\n", run_client("chat-client", ports.refusing()))
end

SCENARIOS.topics = function()
  local port = serve("topics")
  local one, two, three = open(port, "/"), open(port, "/"), open(port, "/")
  for client, share in pairs({ [one] = "ACME", [two] = "ACME", [three] = "OTHER" }) do
    client:write("+ " .. share)
    assert.equal("following " .. share, (client:read_message()))
  end
  one:write("ACME 12.5")
  assert.equal("ACME 12.5", (two:read_message()))
  -- The first message of the others: they have heard nothing of that.
  for client, share in pairs({ [one] = "NEW", [three] = "NEW" }) do
    client:write("+ " .. share)
    assert.equal("following NEW", (client:read_message()))
  end
  two:write("- ACME")
  two:write("+ OTHER")
  assert.equal("following OTHER", (two:read_message()))
  one:write("ACME 13")
  one:write("OTHER 1")
  assert.equal("OTHER 1", (two:read_message()))
end

SCENARIOS["slow-subscribers"] = function()
  local port = serve("slow-subscribers")
  local both = { open(port, "/"), open(port, "/") }
  for _, text in ipairs({ "prices ACME 12", "trades ACME 12", "orders ACME 5" }) do
    both[1]:write(text)
    for _, one in ipairs(both) do assert.same({ text, 1 }, { one:read_message() }) end
  end
end

SCENARIOS.presence = function()
  local port = serve("presence")
  local one, two = open(port, "/"), open(port, "/")
  one:write("I am grace")
  one:write("?")
  assert.equal("grace", (one:read_message()))
  two:write("I am ada")
  two:write("?")
  assert.equal("ada, grace", (two:read_message()))
end

SCENARIOS.history = function()
  local port = serve("history")
  local one = open(port, "/")
  one:write("since all")
  for _, text in ipairs({ "first", "second" }) do one:write(text) end
  local id = one:read_message():match("^(%S+) first$")
  assert.matches("^%S+ second$", (one:read_message()))
  local two = open(port, "/")
  two:write("since " .. id)
  assert.matches("^%S+ second$", (two:read_message()))
  two:write("third")
  for _, client in ipairs({ one, two }) do assert.matches("^%S+ third$", (client:read_message())) end
  local three = open(port, "/")
  three:write("since 1-0")
  assert.equal("gone", (three:read_message()))
end

SCENARIOS["shared-room"] = function()
  local lacking = needs.reason("Redis")
  if lacking then
    pending(lacking)
    return
  end
  local it_is = redis.new():start()
  finally(redis.stop_all)
  local environment, clients_of = "REDIS_URL=unix:" .. it_is.path, {}
  for i = 1, 2 do clients_of[i] = open(serve("shared-room", environment), "/") end
  local deadline = socket.gettime() + LIMIT_SECONDS
  while it_is:subscribers("ws:t:{room}") < 2 do
    assert(socket.gettime() < deadline, "the programs did not subscribe")
    socket.sleep(0.01)
  end
  for i = 1, 2 do
    clients_of[i]:write("from " .. i)
    assert.equal("from " .. i, (clients_of[3 - i]:read_message()))
  end
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

-- An echo server under the loop of a module that may be missing.
local function echo_under(name, module, reason)
  SCENARIOS[name] = function()
    if module and not can_require(module) then return pending(reason) end
    local port = serve(name)
    assert_echo(port)
    assert_echo(port)
  end
end

echo_under("select-loop")
echo_under("hooks-loop")
echo_under("own-adapter")
echo_under("luv-loop", "luv", "needs lua-luv")
echo_under("cqueues-loop", "cqueues", "needs lua-cqueues")

SCENARIOS["drain-on-sigterm"] = function()
  if not can_require("luv") then return pending("needs lua-luv") end
  local port = serve("drain-on-sigterm")
  local program, client = running[#running], open(port, "/")
  child.run("pkill -TERM -P " .. program:child_pid())     -- the child of `timeout` is a shell, and Lua the shell's
  assert.same({ "\3\233", 8 }, { client:read_message() })
  client:send("\136\130\0\0\0\0\3\233")
  assert.matches("ended 0\n$", program:rest())
end

SCENARIOS["copas-loop"] = function()
  local is_there, missing = copas.load()
  if not is_there then return pending(missing) end
  assert_echo(serve("copas-loop", copas.environment()))
end

SCENARIOS["copas-coroutine"] = function()
  local is_there, missing = copas.load()
  if not is_there then return pending(missing) end
  local lines = assert(socket.bind("127.0.0.1", 0))
  lines:settimeout(20)
  finally(function() lines:close() end)
  programs["copas-coroutine"].code = replace(programs["copas-coroutine"].code, "7000", select(2, lines:getsockname()))
  local client = open(serve("copas-coroutine", copas.environment()), "/")
  for _, text in ipairs({ "one", "two" }) do
    client:write(text)
    local peer = assert(lines:accept())
    peer:settimeout(20)
    assert.equal(text, peer:receive("*l"))
    peer:send("an answer to " .. text .. "\n")
    assert.equal("an answer to " .. text, (client:read_message()))
    peer:close()
  end
end

SCENARIOS["steady-client"] = function()
  local missed = "next try\trefused\n"
  local ended = "closed\t1006\trefused\nended 0\n"
  assert.equal(missed:rep(3) .. ended, run_client("steady-client", ports.refusing()))
  local port = serve("echo-server")
  local echo = running[#running]
  local client = start("steady-client", replace(programs["steady-client"].code, ADDRESS, "localhost:" .. port))
  client:expect("received\thello")
  echo:stop()
  assert.equal("next try\tclosed\n" .. missed:rep(2) .. ended, client:rest())
end

SCENARIOS.timers = function()
  assert.equal("tick\t1\ntick\t2\ntick\t3\nthe end\nended 0\n", start("timers", programs.timers.code):rest())
end

SCENARIOS["coroutine-server"] = function()
  local port = serve("coroutine-server")
  local program = running[#running]
  local client = open(port, "/")
  client:write("ann")
  assert.equal("hello ann", (client:read_message()))
  client:write("one")
  client:write("two")
  for _, text in ipairs({ "one", "two" }) do assert.equal(text, (client:read_message())) end
  leave(client)
  program:expect("^ann\tleft$")
end

SCENARIOS["coroutine-client"] = function()
  assert.equal("hello ann\t0\nhow are you\t0\nnil\tclosed\t1000\t\nended 0\n",
    run_client("coroutine-client", serve("coroutine-server")))
  assert.matches("^cannot connect to localhost:%d+: connection refused\trefused\nended 0\n$",
    run_client("coroutine-client", ports.refusing()))
end

SCENARIOS["luv-server"] = function()
  if not can_require("luv") then return pending("needs lua-luv") end
  local port = serve("luv-server")
  assert_echo(port)
  assert_echo(port)
end

-- Programs with a Lua of their own, for which the accelerator of this one is none.
local OTHER_LUA = "-u WEBSOCKETS_NATIVE -u LUA_CPATH "

-- Starts a program in an editor of its own.
local function start_in_neovim(name, code)
  write(name .. ".lua", code)
  local program = child.start(
    ("nvim --headless -u NONE -i NONE -c 'luafile %s/%s.lua' -c 'lua print(\" \")'"):format(folder, name),
    OTHER_LUA .. child.library_path(), LIMIT_SECONDS)
  running[#running + 1] = program
  return program
end

SCENARIOS["neovim-preview"] = function()
  local lacking = needs.reason("Neovim")
  if lacking then
    pending(lacking)
    return
  end
  local code = replace(programs["neovim-preview"].code, PORT, 'port = "any"')
  local port = tonumber((start_in_neovim("neovim-preview", code):expect("ws://localhost:(%d+)/")))
  local one = open(port, "/", "Sec-WebSocket-Protocol: preview\r\n")
  one:write("a line")
  assert.same({ "\na line", 1 }, { one:read_message() })
  code = replace(programs["neovim-client"].code, ADDRESS, "localhost:" .. port)
  -- The last line of what Neovim shows is not ended before Neovim is.
  start_in_neovim("neovim-client", code):expect("a line")
  assert.same({ "\na line\nfrom Neovim", 1 }, { one:read_message() })
end

SCENARIOS["neovim-client"] = SCENARIOS["neovim-preview"]

-- Starts a game of LÖVE, without a screen.
local function start_in_love(name, code)
  local path = folder .. "/" .. name
  assert(child.run(("mkdir %s && cp -r lua/websockets lua/websockets.lua spec/fixtures/love/conf.lua %s"):format(path,
    path)))
  write(name .. "/main.lua", code)
  write(name .. "/index.html", "<h1>Game</h1>")
  local program = child.start("love " .. child.quote(path),
    OTHER_LUA .. "-u LUA_PATH XDG_DATA_HOME=" .. child.quote(folder), LIMIT_SECONDS)
  running[#running + 1] = program
  return program
end

SCENARIOS["love-server"] = function()
  local lacking = needs.reason("LÖVE")
  if lacking then
    pending(lacking)
    return
  end
  local code = replace(programs["love-server"].code, PORT, 'port = "any", interf = "127.0.0.1"')
  local port = tonumber((start_in_love("love-server", code):expect(LINK)))
  assert_echo(port)
  local status, _, body = connect(port):get("/")
  assert.same({ 200, "<h1>Game</h1>" }, { status, body })
  for _, target in ipairs({ "/main.lua", "/help" }) do assert.equal(404, (connect(port):get(target))) end
  code = replace(programs["love-thread"].code, ADDRESS, "localhost:" .. port)
  local client = start_in_love("love-thread", code)
  client:expect("^open$")
  client:expect("^hello$")
end

SCENARIOS["love-thread"] = SCENARIOS["love-server"]

local ev, ev_folder

-- All programs use the one that the first has made; it is removed at the end.
local function with_ev(work)
  return function()
    if not ev then ev, ev_folder = libev.load() end
    if not ev then return pending(ev_folder) end
    work(libev.environment())
  end
end

SCENARIOS["ev-loop"] = with_ev(function(environment)
  local port = serve("ev-loop", environment)
  assert_echo(port)
  assert_echo(port)
end)

SCENARIOS["codec-pair"] = function()
  assert.equal("open\tchat\nmessage\thello\t1\npong\tstill there?\nclosed\t1000\tdone\ttrue\n"
    .. "closed\t1000\t\ttrue\nended 0\n", start("codec-pair", programs["codec-pair"].code):rest())
end

-- Starts a server of the API of 2.x, which cannot tell its port; gives the port.
local function serve_two_x(name, loop, environment)
  local port = ports.closed("*")
  local code = replace(programs[name].code, "port = 8002", "port = " .. port)
  start(name, replace(code, loop, 'print("ready") ' .. loop), environment):expect("^(ready)$")
  return port
end

-- Echo and broadcast, as all servers of docs/from-2x.md have them.
local function assert_two_x(port)
  local echo = open(port, "/", "Sec-WebSocket-Protocol: echo\r\n")
  for _, text in ipairs({ "one", "", ("x"):rep(125) }) do
    echo:write(text)
    assert.same({ text, 1 }, { echo:read_message() })
  end
  local chat = {}
  for i = 1, 2 do chat[i] = open(port, "/", "Sec-WebSocket-Protocol: chat\r\n") end
  chat[1]:write("to all")
  for _, one in ipairs(chat) do assert.same({ "to all", 1 }, { one:read_message() }) end
  assert.equal("hello\t1\ntrue\t1000\t\nended 0\n", run_client("two-x-sync-client", port))
end

SCENARIOS["two-x-copas-server"] = function()
  local host, why = two_x.copas()
  if not host then return pending(why) end
  finally(two_x.stop_all)
  assert_two_x(serve_two_x("two-x-copas-server", "copas.loop()", copas.environment()))
end


SCENARIOS["two-x-ev-server"] = with_ev(function(environment)
  assert_two_x(serve_two_x("two-x-ev-server", "ev.Loop.default:loop()", environment))
end)

SCENARIOS["two-x-ev-client"] = with_ev(function(environment)
  local function run(port)
    local code = replace(programs["two-x-ev-client"].code, ADDRESS, "localhost:" .. port)
    return start("two-x-ev-client", code, environment):rest()
  end
  assert.equal("hello echo\t1\nclosed\ttrue\t1000\nended 0\n", run(serve("two-x-moved")))
  assert.equal("error\tconnection refused\nended 0\n", run(ports.refusing()))
end)

SCENARIOS["two-x-moved"] = function() assert_two_x(serve("two-x-moved")) end
SCENARIOS["two-x-sync-client"] = function()
  assert.matches("connection refused\n.*ended 1\n$", run_client("two-x-sync-client", ports.refusing()))
end

SCENARIOS["metrics-server"] = function()
  local code = replace(programs["metrics-server"].code, PORT, 'port = "any", interf = "127.0.0.1"')
  local port = tonumber((start("metrics-server", replace(code, "port = 9101", 'port = "any"')):expect(LINK)))
  local status, _, body = connect(port):get("/")
  assert.equal(200, status)
  assert.matches("\nwebsockets_connections 0\n", body, 1, true)
end

-- Runs a test of the reader's by busted, beside the module `chat` of docs/testing.md.
local function run_spec(name)
  write("chat.lua", programs.chat.code)
  write(name .. "_spec.lua", programs[name].code)
  local busted = os.getenv("PWD") .. "/spec/support/busted_start.lua"
  local text, code = child.run(("cd %s && env %s %s %s --lpath='./?.lua' %s_spec.lua"):format(child.quote(folder),
    child.library_path(), child.quote(child.this_lua()), child.quote(busted), name))
  assert.equal(0, code, text)
  return tonumber(text:match("(%d+) success"))
end

SCENARIOS["chat-in-short"] = function() assert.equal(1, run_spec("chat-in-short")) end
SCENARIOS["chat-spec"] = function() assert.equal(5, run_spec("chat-spec")) end
SCENARIOS["feed-spec"] = function() assert.equal(2, run_spec("feed-spec")) end
-- The two before use it.
SCENARIOS.chat = function() assert(compile(programs.chat.code)) end

describe("the documentation's", function()
  before_each(function() folder, running, clients = child.make_folder(), {}, {} end)
  after_each(function()
    for _, one in ipairs(clients) do one:close() end
    for _, one in ipairs(running) do one:stop() end
    child.remove_folder(folder)
  end)

  teardown(function() libev.remove(ev and ev_folder) end)

  for name, block in pairs(programs) do
    it("program " .. name .. " does its work", function()
      assert(SCENARIOS[name], block.title .. " has no scenario")()
    end)
  end

  it("programs are all there", function()
    for name in pairs(SCENARIOS) do assert.truthy(programs[name], name) end
  end)

  it("code calls no method in a tail call, which would hide the line of an error", function()
    for _, path in ipairs({ "examples/todo/server.lua", "examples/chat/server.lua", "examples/chat/launch.lua" }) do
      blocks[#blocks + 1] = { title = path, code = markdown.read(path) }
    end
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
