--- The programs under `examples`, run as a reader would run them.
-- @module spec.interop.examples_spec

local child = require "spec.support.child"
local facts = require "websockets.http.facts"
local plain_client = require "spec.support.plain_client"

local LINK = "^http://127%.0%.0%.1:(%d+)/$"
local UPGRADE = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
  .. "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

describe("examples/todo", function()
  if not facts.are_known(require("websockets.engine.loader").choose()) then
    pending("needs lua-filesystem or the accelerator")
    return
  end

  local program, port, clients

  lazy_setup(function()
    program = child.start(child.quote(child.this_lua()) .. " examples/todo/server.lua any")
    port = tonumber(program:expect(LINK))
  end)
  lazy_teardown(function()
    if program then program:stop() end
  end)
  before_each(function() clients = {} end)
  after_each(function()
    for _, one in ipairs(clients) do one:close() end
  end)

  local function connect()
    clients[#clients + 1] = plain_client.connect(port)
    return clients[#clients]
  end

  -- Sends one request; gives status, head in lower case, body.
  local function ask(method, target, headers, body)
    local c = connect()
    c:send(("%s %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n%sContent-Length: %d\r\n\r\n%s"):format(method, target, port,
      headers or "", #(body or ""), body or ""))
    local head = c:read_head():lower()
    return tonumber(head:match("^http/1%.1 (%d+)")), head, c:read(tonumber(head:match("content%-length: (%d+)") or 0))
  end

  local function login(name)
    local status, head = ask("POST", "/login", nil, name)
    assert.equal(204, status)
    return "Cookie: " .. assert(head:match("set%-cookie: (session=%x+);")) .. "\r\n"
  end

  local function live(target, protocol, cookie)
    local c = connect()
    c:request(target, UPGRADE .. "Sec-WebSocket-Protocol: " .. protocol .. "\r\n" .. cookie)
    assert.matches("^HTTP/1.1 101 ", c:read_head())
    return c
  end

  it("serves its page, and nothing of its program", function()
    for target, expected in pairs({ ["/"] = 200, ["/app.js"] = 200, ["/style.css"] = 200, ["/server.lua"] = 404,
      ["/../server.lua"] = 400, ["/login"] = 405 }) do
      assert.same({ target, expected }, { target, (ask("GET", target)) })
    end
  end)

  it("lets nobody in without a login", function()
    assert.equal(401, (ask("GET", "/api/items")))
    assert.equal(401, (ask("POST", "/api/items", nil, "x")))
    assert.equal(401, (ask("DELETE", "/api/items/1")))
    assert.equal(401, (ask("GET", "/live/items", UPGRADE .. "Sec-WebSocket-Protocol: todo.items\r\n")))
    assert.equal(422, (ask("POST", "/login", nil, "<joe>")))
  end)

  it("adds and ends items over REST, and tells all over the socket", function()
    local joe, ann = login("joe"), login("ann")
    local watching = live("/live/items", "todo.items", ann)
    assert.equal("[]", (watching:read_message()))
    local status, _, body = ask("POST", "/api/items", joe, 'milk "2"')
    local id = body:match('^{"id":(%d+)}$')
    assert.equal(201, status)
    local list = '[{"id":' .. id .. ',"text":"milk \\u00222\\u0022","by":"joe"}]'
    assert.equal(list, (watching:read_message()))
    assert.equal(list, (select(3, ask("GET", "/api/items", ann))))
    assert.equal(422, (ask("POST", "/api/items", joe, "\255")))
    assert.equal(422, (ask("POST", "/api/items", joe, "")))
    assert.equal(404, (ask("DELETE", "/api/items/999", joe)))
    assert.equal(204, (ask("DELETE", "/api/items/" .. id, ann)))
    assert.equal("[]", (watching:read_message()))
  end)

  it("tells who is here, by the name of the login", function()
    local first = live("/live/people", "todo.people", login("kim"))
    assert.equal('["kim"]', (first:read_message()))
    local second = live("/live/people", "todo.people", login("lee"))
    assert.equal('["kim","lee"]', (first:read_message()))
    second:close()
    assert.equal('["kim"]', (first:read_message()))
  end)
end)
