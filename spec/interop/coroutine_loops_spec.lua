--- Functions of `websockets.coroutine` under every kind of loop: they wait for messages, for time and for connections.
-- @module spec.interop.coroutine_loops_spec
local client = require("spec.support.client")
local host = require("websockets.loop.host")
local hosts = require("spec.support.hosts")
local server = require("spec.support.server")
local socket = require("socket")
local websockets = require("websockets")

local PEERS, MESSAGES = 20, 10

for _, name in ipairs(hosts.NAMES) do
  describe("functions of websockets.coroutine under " .. name, function()
    local missing = hosts.missing(name)
    if missing then
      pending(missing)
      return
    end
    after_each(server.stop_all)

    it("receive, time out, sleep, connect and end", function()
      local heard, ended = {}, 0
      local s = hosts.start(name, { default = websockets.coroutine(function(ws)
        local message, kind, code = ws:receive()
        while message do
          ws:write(message, kind)
          message, kind, code = ws:receive(60)
        end
        if kind == "closed" and code == 1000 then ended = ended + 1 end
      end) })
      websockets.coroutine(function(context)
        local ws = assert(context:connect(("ws://127.0.0.1:%d/"):format(s.port)):wait_open())
        ws:write(("x"):rep(900000))
        heard[1] = #ws:receive()
        heard[2] = { ws:receive(0.02) }
        websockets.sleep(0.02)
        ws:write("after a while")
        heard[3] = ws:receive(20)
        ws:close(1000)
        heard[4] = select(2, ws:receive())
      end)(s.context)
      local clients = {}
      for i = 1, PEERS do clients[i] = client.open(s) end
      for round = 1, MESSAGES do
        for i, c in ipairs(clients) do c:text(i .. " " .. round) end
        for i, c in ipairs(clients) do assert.same({ 1, i .. " " .. round }, { c:message() }) end
      end
      for _, c in ipairs(clients) do c:send_close(1000) end
      s:pump(function() return heard[4] and ended == PEERS + 1 end, "the end of all")
      assert.same({ 900000, { nil, "timeout" }, "after a while", "closed" }, heard)
    end)

    it("that sleep are ended by destroy, and the loop waits for nothing then", function()
      local s = hosts.start(name, { default = websockets.coroutine(function(ws)
        if ws:receive() == "sleep" then websockets.sleep(1000) end
        ws:receive(1000)
      end) })
      local c, d = client.open(s), client.open(s)
      c:text("sleep")
      d:text("receive")
      s:settle()
      s.context:destroy()
      if s.host.waits then assert.is_false(s.host.waits()) end
    end)

    it("that raise are told to on_error, and others go on", function()
      local errors = {}
      local s = hosts.start(name, {
        on_error = function(err) errors[#errors + 1] = err end,
        default = websockets.coroutine(function(ws)
          while true do ws:write("after " .. ws:receive()) end
        end),
      })
      local c, d = client.open(s), client.open(s)
      c:text("x")
      assert.same({ 1, "after x" }, { c:message() })
      -- Then there is nothing to be received.
      c:close()
      s:pump(function() return errors[1] end)
      assert.matches("coroutine_loops_spec.lua:%d+: attempt to concatenate a nil value", errors[1])
      d:text("y")
      assert.same({ 1, "after y" }, { d:message() })
    end)
  end)
end

-- Starts a server whose handler calls `wait` for each message, and two clients: the other one is served meanwhile.
local function converse(name, wait)
  local errors = {}
  local s = hosts.start(name, {
    on_error = function(err) errors[#errors + 1] = err end,
    default = websockets.coroutine(function(ws)
      while true do
        local message, kind = ws:receive(60)
        if not message then return end
        if message == "wait" then message = wait() end
        ws:write(message, kind)
      end
    end),
  })
  local waiting, other = client.open(s), client.open(s)
  waiting:text("wait")
  for i = 1, 20 do
    other:text("number " .. i)
    assert.same({ 1, "number " .. i }, { other:message() })
  end
  local _, answer = waiting:message()
  waiting:text("again")
  assert.same({ 1, "again" }, { waiting:message() })
  return answer, errors
end

describe("in functions of websockets.coroutine under copas", function()
  local copas, missing = require("spec.support.copas").load()
  if not copas then
    pending(missing)
    return
  end
  after_each(server.stop_all)

  -- A server of copas that answers each line.
  local function serve_lines()
    local listener = assert(socket.bind("127.0.0.1", 0))
    copas.addserver(listener, function(peer)
      peer = copas.wrap(peer)
      local line = peer:receive("*l")
      peer:send(line .. " and back\n")
    end)
    return select(2, listener:getsockname()), listener
  end

  it("the calls of copas wait, and others are served meanwhile", function()
    local port, listener = serve_lines()
    finally(function()
      if copas.removeserver then copas.removeserver(listener) end
      listener:close()
    end)
    local answer, errors = converse("copas", function()
      local peer = socket.tcp()
      copas.connect(peer, "127.0.0.1", tonumber(port))
      peer = copas.wrap(peer)
      peer:send("there\n")
      return peer:receive("*l")
    end)
    assert.equal("there and back", answer)
    assert.same({}, errors)
  end)

  it("a callback that waits, inside of one, raises", function()
    local heard
    local s = hosts.start("copas", { default = websockets.coroutine(function(ws)
      ws:on_broadcast(function() heard = select(2, pcall(websockets.sleep, 0)) end)
      ws:receive()
      ws:broadcast("x")
      ws:write("after that")
      ws:receive()
    end) })
    local c = client.open(s)
    c:text("go on")
    assert.same({ 1, "after that" }, { c:message() })
    assert.matches("sleep may not wait inside a callback", heard)
  end)

  it("an error without on_error is logged, and copas goes on", function()
    local logged = {}
    local s = hosts.start("copas", {
      log = function(_, text) logged[#logged + 1] = text end,
      default = websockets.coroutine(function(ws)
        ws:write(ws:receive())
        error("nobody hears this")
      end),
    })
    local c, d = client.open(s), client.open(s)
    c:text("c")
    assert.same({ 1, "c" }, { c:message() })
    assert.equal(1011, (c:close_code()))
    d:text("d")
    assert.same({ 1, "d" }, { d:message() })
    assert.matches("nobody hears this", logged[1])
  end)
end)

describe("in functions of websockets.coroutine under cqueues", function()
  after_each(server.stop_all)

  it("the calls of cqueues wait, and others are served meanwhile", function()
    local is_there, cqueues = pcall(require, "cqueues")
    if not is_there then return pending("needs lua-cqueues") end
    if not host.coroutines() then return pending("needs coxpcall") end
    local answer, errors = converse("cqueues", function()
      cqueues.sleep(0.05)
      return "rested"
    end)
    assert.equal("rested", answer)
    assert.same({}, errors)
  end)
end)
