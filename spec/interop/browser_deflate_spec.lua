--- Compression with a real browser: what is sent comes back, and few bytes are on the wire. Once, under one Lua.
-- @module spec.interop.browser_deflate_spec

if _VERSION ~= "Lua 5.4" then return end

local beside = require("spec.support.beside")
local needs = require("spec.support.needs")
local server = require("spec.support.server")

local engine = require("websockets.engine.loader").choose()

local CHECKS = { "text of 20000", "binary of 20000", "text of 1048576" }

local function what_is_missing()
  if not engine.can_compress or not engine.can_compress() then return "needs lua-zlib or the accelerator" end
  return needs.reason("Node 18 or later", "Chromium", "the npm package playwright-core")
end

describe("Chromium with compression on", function()
  local missing = what_is_missing()
  if missing then
    pending(missing)
    return
  end

  local results, output = {}, ""

  lazy_setup(function()
    local run = server.start({
      protocols = { echo = server.echo }, compression = true, origins = "*", max_message_bytes = 4 * 1024 * 1024,
    })
    local _, text = beside.run(run,
      "env NODE_PATH=.deps/node_modules node spec/support/browser_deflate.js " .. run.port)
    output = text
    server.stop_all()
    for line in output:gmatch("[^\n]+") do
      local verdict, name, why = line:match("^(%l+)\t([^\t]*)\t?(.*)$")
      if verdict then results[name] = { verdict, why } end
    end
  end)

  for _, name in ipairs(CHECKS) do
    it(name .. " bytes comes back, as a fifth of that on the wire at most", function()
      local result = results[name]
      assert(result, "did not run:\n" .. output)
      assert(result[1] == "passed", result[2])
    end)
  end
end)
