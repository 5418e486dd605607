--- Clients that others wrote, against our server with TLS.
-- @module spec.interop.tls_clients_spec
local beside = require("spec.support.beside")
local certificates = require("spec.support.certificates")
local child = require("spec.support.child")
local server = require("spec.support.server")
local tls = require("spec.support.tls")

local MIB = 1024 * 1024

local PEERS = {
  {
    name = "Python websockets", needs = "the Python package websockets",
    command = ".deps/venv/bin/python spec/support/interop.py",
  },
  {
    name = "Node ws", needs = "the npm package ws",
    command = "env NODE_PATH=.deps/node_modules node spec/support/interop.js",
  },
}

local function has_compression()
  local engine = require("websockets.engine.loader").choose()
  return engine.can_compress ~= nil and (engine.can_compress()) == true
end

describe("over TLS", function()
  after_each(server.stop_all)

  local function start(options)
    local ends = {}
    local all = { protocols = { echo = function(ws)
      ws:on_receive(function(_, data, kind)
        if data == "close me" then ws:close(4001, "bye") else ws:write(data, kind) end
      end)
      ws:on_closed(function(_, ...) ends[#ends + 1] = { ... } end)
    end }, max_message_bytes = 4 * MIB }
    for name, value in pairs(options or {}) do all[name] = value end
    return tls.server(all), ends
  end

  local function ask(s, command)
    local code, text = beside.run(s, command)
    assert.equal(0, code, text)
    return text
  end

  for _, peer in ipairs(PEERS) do
    tls.test(it, pending, peer.needs)(peer.name .. " as a client: text and binary of each size, whole and fragmented, "
      .. "ping, close; compressed where the engine can", function()
      local s, ends = start({ compression = has_compression() })
      ask(s, ("%s %d %s"):format(peer.command, s.port, child.quote(certificates.path("ca.pem"))))
      s:pump(function() return ends[1] end, "on_closed")
      assert.same({ 4001, "bye", true, "closed" }, ends[1])
    end)
  end

  tls.test(it, pending, "curl")("curl gets a page, and 1 MiB, over TLS 1.2 and 1.3", function()
    local s = start({ on_http = function(ws, uri)
      ws:respond(200, nil, uri == "/big" and ("x"):rep(MIB) or "hello")
    end })
    for _, version in ipairs({ "--tlsv1.3", "--tls-max 1.2" }) do
      local command = ("curl -s -S --max-time 50 --noproxy '*' %s --cacert %s https://localhost:%d"):format(version,
        child.quote(certificates.path("ca.pem")), s.port)
      assert.equal("hello", ask(s, command .. "/"))
      assert.equal(("x"):rep(MIB), ask(s, command .. "/big"))
    end
  end)

  local openssl = tls.test(it, pending)

  -- Asks for a page and gives what openssl wrote. It calls an end without close_notify an error.
  local function s_client(s, words)
    return (select(2, beside.run(s, ("sh -c 'printf \"GET / HTTP/1.1\\r\\nHost: a\\r\\nConnection: close\\r\\n\\r\\n\""
      .. " | openssl s_client -ign_eof -connect 127.0.0.1:%d %s'"):format(s.port, words))))
  end

  openssl("openssl resumes a session, in TLS 1.2 and 1.3", function()
    local s = start()
    local folder = child.make_folder()
    finally(function() child.remove_folder(folder) end)
    for _, version in ipairs({ "-tls1_2", "-tls1_3" }) do
      local first = s_client(s, version .. " -sess_out " .. folder .. "/session")
      assert.matches("New, TLSv1", first)
      assert.matches("404 Not Found", first)
      local second = s_client(s, version .. " -sess_in " .. folder .. "/session")
      assert.matches("Reused, TLSv1", second)
      assert.matches("404 Not Found", second)
    end
  end)

  openssl("openssl with a client certificate is served again and again: there is no session to be resumed", function()
    local s = start({ options = 2, ssl_ca_filepath = certificates.path("ca.pem") })
    local folder = child.make_folder()
    finally(function() child.remove_folder(folder) end)
    local own = (" -cert %s -key %s"):format(certificates.path("client.pem"), certificates.path("client.key"))
    for _, version in ipairs({ "-tls1_2", "-tls1_3" }) do
      local session = folder .. "/session" .. version
      assert.matches("404 Not Found", s_client(s, version .. own .. " -sess_out " .. session))
      local _, lacks = child.run("test -s " .. session)
      assert.matches("404 Not Found", s_client(s, version .. own .. (lacks == 0 and " -sess_in " .. session or "")))
    end
  end)
end)
