--- Files as answers over real sockets: whole, short, slow, and given up.
-- @module spec.behaviour.file_response_spec
local client = require("spec.support.client")
local inside = require("spec.support.inside")
local server = require("spec.support.server")

local request = client.request

local function start(on_http, options)
  options = options or {}
  options.protocols, options.on_http = { echo = server.echo }, on_http
  local run = server.start(options)
  return run, client.connect(run)
end

local paths = {}

local function temporary(bytes)
  local path = os.tmpname()
  paths[#paths + 1] = path
  local file = assert(io.open(path, "wb"))
  file:write(bytes)
  file:close()
  return path
end

local function clean()
  server.stop_all()
  for i = #paths, 1, -1 do os.remove(table.remove(paths, i)) end
end

-- Serves one request for a file; gives the answer and what serve_http_file returned.
local function serve(path, method, content_type)
  local returned
  local _, peer = start(function(ws) returned = { ws:serve_http_file(path, content_type) } end)
  peer:send(request("/", nil, method))
  local status, headers, body = peer:response(method)
  return status, headers, body, returned, peer
end

describe("serve_http_file", function()
  after_each(clean)

  it("sends a file of 1 MiB with type and length, byte for byte", function()
    local bytes = {}
    for i = 0, 255 do bytes[i + 1] = string.char(i) end
    bytes = table.concat(bytes):rep(4096)
    local status, headers, body, returned = serve(temporary(bytes), "GET", "image/x-icon")
    assert.same({ 200, "image/x-icon", "1048576" }, { status, headers["content-type"], headers["content-length"] })
    assert.is_true(body == bytes)
    assert.same({ 0 }, returned)
  end)

  it("sends an empty file, and the connection goes on", function()
    local status, headers, body, _, peer = serve(temporary(""))
    assert.same({ 200, "0", "" }, { status, headers["content-length"], body })
    peer:send(request("/"))
    assert.equal(200, (peer:response()))
  end)

  it("HEAD gets the length and no body", function()
    local status, headers, _, _, peer = serve(temporary("twelve bytes"), "HEAD")
    assert.same({ 200, "12" }, { status, headers["content-length"] })
    peer:send(request("/"))
    assert.equal("twelve bytes", select(3, peer:response()))
  end)

  it("missing, a directory, a path with a zero byte: -1 after a 404 has been sent", function()
    for _, path in ipairs({ "/nowhere/at/all", ".", temporary("x") .. "\0.txt" }) do
      local status, _, _, returned = serve(path)
      assert.equal(404, status)
      assert.equal(-1, returned[1])
    end
  end)

  it("only inside on_http: later it is -1 type, and respond still answers", function()
    local path, waiting = temporary("x"), nil
    local run = server.start({ on_http = function(ws) waiting = ws end })
    local peer = client.connect(run)
    peer:send(request("/"))
    run:pump(function() return waiting end, "on_http")
    assert.same({ -1, "type" }, { waiting:serve_http_file(path) })
    assert.equal(0, (waiting:respond(404)))
    assert.equal(404, (peer:response()))
  end)

  it("another method than GET and HEAD is 405", function()
    local status, headers, _, returned = serve(temporary("x"), "POST")
    assert.same({ 405, "GET, HEAD", -1 }, { status, headers.allow, returned[1] })
  end)

  it("a file that shrinks ends the connection short, never with other bytes", function()
    local path = temporary(("a"):rep(32 * 1024 * 1024))
    local run, peer = start(function(ws) ws:serve_http_file(path) end)
    local witness = client.open(run, "echo")
    peer:send(request("/"))
    local status, headers = peer:read_head()
    assert.same({ 200, "33554432" }, { status, headers["content-length"] })
    local file = assert(io.open(path, "wb"))
    file:close()
    local rest = peer:drain()
    assert.is_true(#rest < 33554432)
    assert.is_nil(rest:find("[^a]"))
    witness:text("on")
    assert.equal("on", select(2, witness:message()))
  end)

  it("never blocks: a peer that reads nothing of a long file takes no memory, and others are served", function()
    local path = temporary("")
    local file = assert(io.open(path, "r+b"))
    file:seek("set", 100 * 1024 * 1024 - 1)
    file:write("z")
    file:close()
    local run, peer = start(function(ws) ws:serve_http_file(path) end)
    local witness = client.open(run, "echo")
    peer:send(request("/"))
    run:settle()
    for i = 1, 50 do
      witness:text(tostring(i))
      assert.equal(tostring(i), select(2, witness:message()))
    end
    assert.is_true(inside.buffered(run.context) <= 128 * 1024)
  end)

  it("a peer that vanishes in the middle leaves no open file", function()
    local path = temporary(("a"):rep(16 * 1024 * 1024))
    local found
    local run, peer = start(function(ws)
      ws:serve_http_file(path)
      found = ws
    end)
    peer:send(request("/"))
    run:pump(function() return found end)
    local file = inside.sent_file(found)
    peer:reset()
    run:pump(function() return inside.connections(run.context) == 0 end)
    assert.equal("closed file", io.type(file))
  end)

  it("content_type and path are checked", function()
    local failed = {}
    local _, peer = start(function(ws)
      failed[1] = pcall(ws.serve_http_file, ws, "/x", "a\r\nb: c")
      failed[2] = pcall(ws.serve_http_file, ws, nil)
      failed[3] = pcall(ws.serve_http_file, ws, "/x", 5)
      ws:respond(200)
    end)
    peer:send(request("/"))
    peer:response()
    assert.same({ false, false, false }, failed)
  end)

  it("no file eats a turn: so many pieces each, the rest in the next", function()
    local path = temporary(("a"):rep(8 * 1024 * 1024))
    local left
    local run, peer = start(function(ws)
      ws:serve_http_file(path)
      left = inside.file_bytes_left(ws)
    end)
    peer:send(request("/"))
    run:pump(function() return left end)
    local turns = 0
    while left() > 0 and turns < 1000 do
      local before = left()
      run:turns(1)
      peer:poll()
      assert.is_true(before - left() <= 4 * 65536)
      turns = turns + 1
    end
    assert.equal(0, left())
  end)
end)
