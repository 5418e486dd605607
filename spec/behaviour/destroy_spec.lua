--- The end of a context: what its connections hear, and what is refused afterwards.
-- @module spec.behaviour.destroy_spec
local client = require("spec.support.client")
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
        refused = select(2, pcall(s.context.adopt, s.context, socket.tcp4()))
        s.context:destroy()
      end)
    end } })
    local c, d = client.open(s, "a"), client.open(s, "a")
    c.connection:send(c:frame(1, "x"))
    s:turn(1000)
    assert.equal(2, closed)
    assert.matches("websocket context destroyed", refused)
    function s.turn() end
    assert.equal("last words", select(2, c:message()))
    assert.equal(1001, (c:close_code()))
    assert.equal(1001, (d:close_code()))
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
