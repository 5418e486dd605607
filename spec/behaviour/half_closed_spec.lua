--- Clients that end their sending direction and wait for the answers.
-- @module spec.behaviour.half_closed_spec
local client = require("spec.support.client")
local inside = require("spec.support.inside")
local server = require("spec.support.server")

local request = client.request

-- A server that answers with method, target and body.
local function start(options)
  options = options or {}
  options.protocols = options.protocols or { echo = server.echo }
  options.on_http = options.on_http or function(ws, uri, method, _, body)
    ws:respond(200, nil, method .. " " .. uri .. " " .. body)
  end
  local run = server.start(options)
  return run, client.connect(run)
end

describe("a half-closed client", function()
  after_each(server.stop_all)

  local BIG = ("0123456789abcdef"):rep(512 * 1024)

  it("still gets all of a long answer", function()
    local run, peer = start({ on_http = function(ws) ws:respond(200, nil, BIG) end })
    peer:send(request("/"))
    peer.connection:shutdown("send")
    local status, _, body = peer:response()
    assert.equal(200, status)
    assert.is_true(body == BIG)
    assert.equal("closed", peer:await_end())
    -- Both directions have ended: there is nothing to wait for.
    run:settle()
    assert.equal(0, inside.connections(run.context))
  end)

  it("still gets a later answer", function()
    local found
    local run, peer = start({ on_http = function(ws) found = ws end })
    peer:send(request("/"))
    peer.connection:shutdown("send")
    run:pump(function() return found end)
    run:settle()
    assert.equal(0, found:respond(200, nil, "late"))
    assert.equal("late", select(3, peer:response()))
    assert.equal("closed", peer:await_end())
  end)

  it("still gets the answers to all that it pipelined", function()
    local _, peer = start()
    local all = {}
    for i = 1, 200 do all[i] = request("/" .. i) end
    peer:send(table.concat(all))
    peer.connection:shutdown("send")
    for i = 1, 200 do assert.equal("GET /" .. i .. " ", select(3, peer:response())) end
    assert.equal("closed", peer:await_end())
  end)

  it("with half a request or half a body is gone at once", function()
    for _, bytes in ipairs({ "", "GET / HT", request("/", "Content-Length: 9\r\n", "POST", "a") }) do
      local run, peer = start()
      peer:send(bytes)
      run:settle()
      assert.equal(1, inside.connections(run.context))
      peer.connection:shutdown("send")
      run:settle()
      assert.equal(0, inside.connections(run.context))
    end
  end)
end)
