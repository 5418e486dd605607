--- Answers: respond, raw bytes, HEAD.
-- @module spec.behaviour.response_spec
local client = require("spec.support.client")
local server = require("spec.support.server")

local request = client.request
local WRITE_HTTP = 3

local function start(on_http, options)
  options = options or {}
  options.protocols, options.on_http = { echo = server.echo }, on_http
  local run = server.start(options)
  return run, client.connect(run)
end

describe("ws:respond", function()
  after_each(server.stop_all)

  it("sends status, headers, lists of headers and the body with its length", function()
    local _, peer = start(function(ws)
      assert.equal(0, ws:respond(201, { ["X-One"] = 1, ["Set-Cookie"] = { "a=1", "b=2" } }, "made"))
    end)
    peer:send(request("/"))
    local status, headers, head = peer:read_head()
    assert.same({ 201, "1", "4" }, { status, headers["x-one"], headers["content-length"] })
    assert.truthy(head:find("Set-Cookie: a=1\r\nSet-Cookie: b=2\r\n", 1, true))
    assert.equal("made", peer:read(4))
  end)

  it("HEAD gets the same head and no body; 204 and 304 have neither length nor body", function()
    local status = 200
    local run, peer = start(function(ws) ws:respond(status, nil, "four") end)
    peer:send(request("/", nil, "HEAD"))
    assert.equal("4", select(2, peer:read_head())["content-length"])
    for _, bare in ipairs({ 204, 304 }) do
      status = bare
      peer:send(request("/"))
      local got, headers = peer:read_head()
      assert.equal(bare, got)
      assert.is_nil(headers["content-length"])
    end
    run:settle()
    assert.equal("", peer:take())
  end)

  it("a second answer to one request is -1 type, one to a dead connection -1 closed", function()
    local results, found = {}, nil
    local run, peer = start(function(ws)
      found = ws
      results[1], results[2] = { ws:respond(200) }, { ws:respond(200) }
      results[3] = { ws:write("raw", WRITE_HTTP) }
      results[4] = { ws:serve_http_file("/nowhere") }
    end)
    peer:send(request("/"))
    assert.equal(200, (peer:response()))
    assert.same({ { 0 }, { -1, "type" }, { -1, "type" }, { -1, "type" } }, results)
    peer:close()
    run:settle()
    assert.same({ -1, "closed" }, { found:respond(200) })
    assert.same({ -1, "closed" }, { found:write("raw", WRITE_HTTP) })
    assert.same({ -1, "closed" }, { found:serve_http_file("/nowhere") })
  end)

  it("refuses CRLF and control characters in headers, names that are no token, and its own fields", function()
    local errors = {}
    local bad = {
      { 200, { ["X-Thing"] = "a\r\nInjected: yes" } }, { 200, { ["X-Thing"] = "a\0" } }, { 200, { ["X Y"] = "a" } },
      { 200, { ["Content-Length"] = "9" } }, { 200, { Connection = "x" } }, { 200, { ["transfer-encoding"] = "x" } },
      { 200, { X = { "a", "b\n" } } }, { 199 }, { 600 }, { 200.5 }, { "200" }, { 200, "x" }, { 200, nil, {} },
    }
    local _, peer = start(function(ws)
      for i, arguments in ipairs(bad) do
        local is_good, err = pcall(ws.respond, ws, arguments[1], arguments[2], arguments[3])
        errors[i] = not is_good and err
      end
      ws:respond(200, nil, "clean")
    end)
    peer:send(request("/"))
    assert.equal("clean", select(3, peer:response()))
    assert.equal(#bad, #errors)
    for i = 1, #bad do assert.is_string(errors[i]) end
    assert.truthy(errors[1]:find("X-Thing", 1, true))
  end)

  it("on an open WebSocket the HTTP methods give -1 type", function()
    local results
    local run = server.start({ protocols = { echo = function(ws)
      results = { { ws:respond(200) }, { ws:write("x", WRITE_HTTP) }, { ws:serve_http_file("/etc/hosts") } }
    end } })
    client.open(run, "echo")
    assert.same({ { -1, "type" }, { -1, "type" }, { -1, "type" } }, results)
  end)

  it("in the HTTP phase write, ping and broadcast give -1 type", function()
    local results
    local _, peer = start(function(ws)
      results = { { ws:write("x") }, { ws:ping() }, { ws:broadcast("x") }, { ws:rx_flow_control(true) } }
      ws:respond(200)
    end)
    peer:send(request("/"))
    peer:response()
    assert.same({ { -1, "type" }, { -1, "type" }, { -1, "type" }, { 1 } }, results)
  end)

  it("close() ends the connection after what was answered", function()
    local _, peer = start(function(ws)
      ws:respond(200, nil, ("x"):rep(1000000))
      ws:close()
    end)
    peer:send(request("/"))
    assert.equal(1000000, #select(3, peer:response()))
    assert.equal("closed", peer:await_end())
  end)
end)

describe("WRITE_HTTP", function()
  after_each(server.stop_all)

  it("sends raw bytes as they are, several writes in order, then the connection ends", function()
    local _, peer = start(function(ws)
      assert.equal(0, ws:write("HTTP/1.1 299 Mine\r\n", WRITE_HTTP))
      assert.equal(0, ws:write("\r\nraw\0bytes", WRITE_HTTP))
    end)
    peer:send(request("/") .. request("/again"))
    assert.equal("HTTP/1.1 299 Mine\r\n\r\nraw\0bytes", peer:drain())
  end)

  it("may be empty, whatever follows", function()
    local large = "HTTP/1.1 200 OK\r\n\r\n" .. ("x"):rep(100000)
    local _, peer = start(function(ws)
      for _, bytes in ipairs({ "", large, "", "" }) do assert.equal(0, ws:write(bytes, WRITE_HTTP)) end
    end)
    peer:send(request("/"))
    assert.equal(large, peer:drain())
  end)

  it("may come later, outside the callback", function()
    local found
    local run, peer = start(function(ws) found = ws end)
    peer:send(request("/"))
    run:pump(function() return found end)
    assert.equal(0, found:write("HTTP/1.1 200 OK\r\n\r\nlate", WRITE_HTTP))
    assert.equal("HTTP/1.1 200 OK\r\n\r\nlate", peer:drain())
  end)
end)
