--- The method CONNECT, and what proxies answer.
-- @module spec.unit.client.http_tunnel_spec

local engine = require("websockets.engine.loader").choose()
local http_tunnel = require "websockets.client.http_tunnel"
local proxy = require "websockets.client.proxy"
local url = require "websockets.protocol.url"

local GIVEN = {
  base64 = engine.base64,
  limits = { max_header_bytes = 2000, max_header_lines = 16, max_request_line_bytes = math.huge },
}

local function new(target, by)
  return http_tunnel.new(assert(url.parse(target)), assert(proxy.parse(by or "http://proxy")), GIVEN)
end

describe("a tunnel of an HTTP proxy", function()
  it("is asked for with host and port, and with credentials where there are some", function()
    assert.equal("CONNECT example.com:80 HTTP/1.1\r\nHost: example.com:80\r\n\r\n", new("ws://example.com/x"):begin())
    assert.equal("CONNECT [::1]:443 HTTP/1.1\r\nHost: [::1]:443\r\n\r\n", new("wss://[::1]"):begin())
    assert.equal("CONNECT 10.0.0.1:8080 HTTP/1.1\r\nHost: 10.0.0.1:8080\r\nProxy-Authorization: Basic "
      .. engine.base64("joe:a:b") .. "\r\n\r\n", new("ws://10.0.0.1:8080", "http://joe:a%3Ab@proxy"):begin())
  end)

  it("is not told the credentials for the server", function()
    assert.is_nil(new("ws://joe:secret@example.com/"):begin():find("uthorization"))
  end)

  for _, head in ipairs({
    "HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.0 200 Connection established\r\nProxy-agent: x\r\n\r\n", "HTTP/1.1 204\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 299 x\r\n\r\n",
  }) do
    it(("is there after %q, cut anywhere, and loses nothing of what follows"):format(head), function()
      local tunnel = new("ws://a")
      assert.equal("\129\2hi", tunnel:feed(head .. "\129\2hi"))
      for cut = 1, #head - 1 do
        tunnel = new("ws://a")
        assert.is_nil((tunnel:feed(head:sub(1, cut))))
        assert.equal("x", tunnel:feed(head:sub(cut + 1) .. "x"))
      end
      tunnel = new("ws://a")
      for byte in head:sub(1, -2):gmatch(".") do assert.is_nil((tunnel:feed(byte))) end
      assert.equal("", tunnel:feed("\n"))
    end)
  end

  it("is refused: the message tells the status, and whether it is a matter of credentials", function()
    for head, expected in pairs({
      ["HTTP/1.1 403 Filtered\r\n\r\n"] = "answered 403 Filtered",
      ["HTTP/1.0 500 Unable to connect\r\nX: y\r\n\r\n<html>"] = "answered 500 Unable to connect",
      ["HTTP/1.1 502\r\n\r\n"] = "answered 502", ["HTTP/1.1 101 x\r\n\r\n"] = "answered 101 x",
      ["HTTP/1.1 302 Found\r\nLocation: http://b/\r\n\r\n"] = "answered 302 Found",
    }) do
      assert.same({ false, expected, false }, { new("ws://a"):feed(head) })
    end
    for _, status in ipairs({ 401, 407 }) do
      local head = ("HTTP/1.1 %d Who\27\r\n\r\n"):format(status)
      assert.same({ false, ("answered %d Who?: it wants a user and a password"):format(status), true },
        { new("ws://a"):feed(head) })
      assert.same({ false, ("answered %d Who?: it refuses these credentials"):format(status), true },
        { new("ws://a", "http://joe:x@proxy"):feed(head) })
    end
  end)

  it("is refused where the answer is no answer, or too long", function()
    assert.same({ false, "gave an answer that is not HTTP", false }, { new("ws://a"):feed("\5\0") })
    assert.same({ false, "gave an answer that is not HTTP", false }, { new("ws://a"):feed("SSH-2.0-x\r\n\r\n") })
    assert.same({ false, "gave an answer that has too long a head", false },
      { new("ws://a"):feed("HTTP/1.1 200 OK\r\nX: " .. ("x"):rep(2000)) })
    assert.same({ false, "gave an answer that came after too many interim ones", false },
      { new("ws://a"):feed(("HTTP/1.1 100 x\r\n\r\n"):rep(17)) })
    assert.same({ false, "gave an answer that is not HTTP", false }, { new("ws://a"):feed("220 mail ESMTP\r\n") })
    local tunnel, said = new("ws://a"), {}
    tunnel:feed("HTTP/1.1 200 OK\r\n")
    for _ = 1, 1000 do
      if said[1] == nil then said = { tunnel:feed("x: y\r\n") } end
    end
    assert.same({ false, "gave an answer that has too long a head", false }, said)
  end)
end)
