--- The end of a context: what its connections hear, and what is refused afterwards.
-- @module spec.behaviour.destroy_spec
local client = require("spec.support.client")
local inside = require("spec.support.inside")
local server = require("spec.support.server")
local socket = require("socket")
local websockets = require("websockets")

local unpack = table.unpack or unpack

describe("context destroy", function()
  after_each(server.stop_all)

  it("sends 1001, calls on_del_fd and on_closed for each, and closes every descriptor", function()
    local handler, log = server.recorder()
    local added, deleted = {}, {}
    local s = server.start({
      protocols = { a = handler },
      on_add_fd = function(fd) added[#added + 1] = fd end,
      on_del_fd = function(fd) deleted[#deleted + 1] = fd end,
    })
    local c, d, http = client.open(s, "a"), client.open(s, "a"), client.connect(s)
    s:settle()
    assert.is_nil(s.context:destroy())
    assert.equal(1001, (c:close_code()))
    assert.equal(1001, (d:close_code()))
    http:await_end()
    assert.equal(2, #log.closed)
    for i = 1, 2 do
      assert.same({ 1001, "", false, "destroyed" }, { unpack(log.closed[i], 2) })
      assert.equal(-1, log.closed[i][1]:get_socket_fd())
    end
    table.sort(added)
    table.sort(deleted)
    assert.equal(4 + server.own_fds, #added)
    assert.same(added, deleted)
  end)

  it("reaches a peer whose bytes were not read yet", function()
    local handler = server.recorder()
    local s = server.start({ protocols = { a = handler } })
    local c = client.open(s, "a")
    c.connection:send(c:frame(1, ("x"):rep(1000)))
    s.context:destroy()
    function s.turn() end
    assert.equal(1001, (c:close_code()))
  end)

  it("a second time does nothing; other methods raise 'websocket context destroyed'", function()
    local s = server.start({ protocols = { a = function() end } })
    s.context:destroy()
    s.context:destroy()
    for name, argument in pairs({ service = 0, service_fd = 1, broadcast = "a", run = 0, stop = 0, timeout = 0,
      get_port = 0, get_fd = 0, adopt = 0, canonical_hostname = 0 }) do
      assert.error_matches(function() s.context[name](s.context, argument, "x") end, "websocket context destroyed$")
    end
  end)

  it("leaves the methods of its websockets harmless", function()
    local handler, log = server.recorder()
    local s = server.start({ protocols = { a = handler } })
    client.open(s, "a")
    s.context:destroy()
    local ws = log.ws[1]
    assert.same({ -1, "closed" }, { ws:write("x") })
    assert.same({ -1, "closed" }, { ws:ping() })
    ws:close()
    ws:close(0)
    ws:broadcast("x")
    assert.equal(1, ws:rx_flow_control(false))
    assert.equal(1, #log.closed)
  end)

  it("inside a callback acts at the end of the turn; callbacks then still run, nothing comes back to life", function()
    local closed, refused, s = 0, nil, nil
    s = server.start({ protocols = { a = function(ws)
      ws:on_receive(function()
        s.context:destroy()
        s.context:destroy()
        assert.equal(0, ws:write("last words"))
      end)
      ws:on_closed(function()
        closed = closed + 1
        refused = select(4, pcall(s.context.connect, s.context, "ws://127.0.0.1:1/"))
        s.context:destroy()
      end)
    end } })
    local c, d = client.open(s, "a"), client.open(s, "a")
    c.connection:send(c:frame(1, "x"))
    s:turn(1000)
    assert.equal(2, closed)
    assert.equal("destroyed", refused)
    function s.turn() end
    assert.equal("last words", select(2, c:message()))
    assert.equal(1001, (c:close_code()))
    assert.equal(1001, (d:close_code()))
  end)

  it("answers every method that a callback calls meanwhile, and nothing begins", function()
    local given = assert(socket.bind("127.0.0.1", 0))
    given:settimeout(5)
    local ip, port = given:getsockname()
    local one = assert(socket.connect(ip, port))
    local other = assert(given:accept())
    local answers, errs, s, ws = {}, {}, nil, nil
    local function call_all(name)
      if not (s and inside.is_dying(s.context)) then return end
      local context = s.context
      answers[name] = {
        stop = { context:stop() }, timeout = { context:timeout() }, get_fd = { context:get_fd() },
        broadcast = { context:broadcast("a", "x") }, host = type(context:canonical_hostname()),
        connect = { context:connect("ws://127.0.0.1:" .. s.port) }, adopt = { context:adopt(other) },
        destroy = { context:destroy() }, shown = tostring(context):match("^context"),
      }
      context:get_port()
      ws:write("x")
      ws:close()
      ws:broadcast("x")
    end
    local function calls(name) return function() call_all(name) end end
    s = server.start({
      protocols = { a = function(from)
        ws = from
        ws:on_closed(function()
          call_all("on_closed")
          error("on_error hears this", 0)
        end)
      end },
      on_add_fd = function() end, on_del_fd = calls("on_del_fd"), on_clear_mode_fd = calls("on_clear_mode_fd"),
      on_error = function(err)
        errs[#errs + 1] = err
        call_all("on_error")
      end,
    })
    client.open(s, "a")
    client.connect(s)
    s:settle()
    s.context:destroy()
    assert.same({ "on_error hears this" }, errs)
    local refusal = { nil, "websocket context destroyed", "destroyed" }
    for _, name in ipairs({ "on_closed", "on_del_fd", "on_error" }) do
      assert.same({
        stop = {}, timeout = {}, get_fd = {}, broadcast = { 0 }, host = "string", connect = refusal, adopt = refusal,
        destroy = {}, shown = "context",
      }, answers[name])
    end
    -- The socket that was refused is still the application's.
    assert.equal(2, one:send("hi"))
    assert.equal("hi", other:receive(2))
    for _, each in ipairs({ given, one, other }) do each:close() end
  end)

  it("keeps a listening socket that the application gave", function()
    local listening = socket.bind("127.0.0.1", 0)
    local context = websockets.context({ socket = listening })
    assert.equal(tonumber((select(2, listening:getsockname()))), context:get_port())
    context:destroy()
    assert.is_true(listening:getfd() >= 0)
    listening:close()
  end)
end)
