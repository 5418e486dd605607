--- The end of a turn: what callbacks lead to at its very end still belongs to it.
-- @module spec.behaviour.finishing_spec
local server = require("spec.support.server")
local client = require("spec.support.client")

describe("the end of a turn", function()
  after_each(server.stop_all)

  it("sends what an on_closed writes to others, in the same turn", function()
    local all = {}
    local s = server.start({ protocols = { a = function(ws) all[#all + 1] = ws end } })
    local gone, other = client.open(s, "a"), client.open(s, "a")
    s:settle()
    all[1]:on_closed(function() all[2]:write("it has gone") end)
    gone:close()
    s:pump(function() return all[1]:get_socket_fd() == -1 end)
    assert.equal(0, all[2]:buffered())
    assert.same({ 1, "it has gone" }, { other:message() })
  end)

  it("tells of an end that an on_closed causes, and closes both descriptors after all callbacks", function()
    local all, told = {}, {}
    local s = server.start({ protocols = { a = function(ws) all[#all + 1] = ws end } })
    local gone = client.open(s, "a")
    client.open(s, "a")
    s:settle()
    local fds = { all[1]:get_socket_fd(), all[2]:get_socket_fd() }
    for i = 1, 2 do
      all[i]:on_closed(function()
        told[#told + 1] = { i, s.turn_count, all[1]:get_socket_fd(), all[2]:get_socket_fd() }
        if i == 1 then all[2]:close(0) end
      end)
    end
    gone:close()
    s:pump(function() return #told == 2 end)
    local turn = told[1][2]
    assert.same({ { 1, turn, fds[1], fds[2] }, { 2, turn, fds[1], fds[2] } }, told)
    assert.same({ -1, -1 }, { all[1]:get_socket_fd(), all[2]:get_socket_fd() })
  end)

  it("is reached by every connection though an on_closed raises", function()
    local all, told, errors = {}, 0, 0
    local s = server.start({
      protocols = { a = function(ws) all[#all + 1] = ws end },
      on_error = function() errors = errors + 1 end,
    })
    for _ = 1, 3 do client.open(s, "a") end
    s:settle()
    for i = 1, 3 do
      all[i]:on_closed(function()
        told = told + 1
        error("on purpose")
      end)
    end
    for i = 1, 3 do s.clients[i]:close() end
    s:pump(function() return told == 3 end)
    assert.equal(3, errors)
    for i = 1, 3 do assert.equal(-1, all[i]:get_socket_fd()) end
  end)
end)
