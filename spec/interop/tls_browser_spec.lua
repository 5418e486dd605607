--- A page and its WebSocket over TLS, in a real browser. Once, under one Lua.
-- @module spec.interop.tls_browser_spec

if _VERSION ~= "Lua 5.4" then return end

local beside = require("spec.support.beside")
local certificates = require("spec.support.certificates")
local child = require("spec.support.child")
local server = require("spec.support.server")
local tls = require("spec.support.tls")

local CHECKS = { "page", "text of 5", "binary of 20000", "text of 1048576", "binary of 1048576" }

describe("Chromium over TLS", function()
  local it = tls.test(it, pending, "Node 18 or later", "Chromium", "the npm package playwright-core")

  after_each(server.stop_all)

  it("loads a page of ours and its WebSocket: echo, 1 MiB, compressed where the engine can", function()
    local engine = require("websockets.engine.loader").choose()
    local run = tls.server({
      protocols = { echo = server.echo }, max_message_bytes = 4 * 1024 * 1024,
      compression = engine.can_compress ~= nil and (engine.can_compress()) == true,
      on_http = function(ws)
        ws:respond(200, { ["Content-Type"] = "text/html" }, "<!doctype html><title>ours</title>")
      end,
    })
    local spki = child.run(("openssl x509 -in %s -pubkey -noout | openssl pkey -pubin -outform der"
      .. " | openssl dgst -sha256 -binary | base64"):format(child.quote(certificates.path("good.pem"))))
    local _, output = beside.run(run, ("env NODE_PATH=.deps/node_modules node spec/support/browser_tls.js %d %s")
      :format(run.port, spki:gsub("%s+$", "")))
    local results = {}
    for verdict, name in output:gmatch("(%l+)\t([^\t\n]*)") do results[name] = verdict end
    for _, name in ipairs(CHECKS) do assert.equal("passed", results[name], output) end
    assert.matches("TLS 1.3", output)
  end)
end)
