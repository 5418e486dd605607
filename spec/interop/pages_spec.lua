--- Pages, JSON, a login and WebSockets on one port, in a real browser: once, under one Lua.
-- @module spec.interop.pages_spec

if _VERSION ~= "Lua 5.4" then
  return
end

local child = require "spec.support.child"
local facts = require "websockets.http.facts"
local needs = require "spec.support.needs"

local CHECKS = {
  "a page, its script and its style come from the folder",
  "without a login there is no socket",
  "a login sets a cookie that scripts cannot read, and opens two sockets",
  "two routes speak two subprotocols",
  "JSON comes from the same port",
  "what one page adds appears in another, and goes there, too",
  "the cookie lets a page in again without a login",
  "a page of another origin is refused",
  "the console shows no errors",
}

local function node(words)
  return child.run('NODE_PATH="$PWD/.deps/node_modules:$NODE_PATH" timeout -k 3 50 node ' .. words)
end

local function what_is_missing()
  local engine = require("websockets.engine.loader").choose()
  if not facts.are_known(engine) then return "needs lua-filesystem or the accelerator" end
  return needs.reason("Node 18 or later", "Chromium", "the npm package playwright-core")
end

describe("pages in a browser", function()
  local missing = what_is_missing()
  if missing then
    pending(missing)
    return
  end

  local results, output, said, program = {}, "", "", nil

  lazy_setup(function()
    program = child.start(child.quote(child.this_lua()) .. " examples/todo/server.lua any")
    output = node("spec/support/pages.mjs " .. program:expect("^(http://%S+)$"))
    for line in output:gmatch("[^\n]+") do
      local verdict, name, why = line:match("^(%l+)\t([^\t]*)\t?(.*)$")
      if verdict then results[name] = { verdict, why } end
    end
    said = program:stop()
  end)
  lazy_teardown(function()
    if program then program:stop() end
  end)

  for _, name in ipairs(CHECKS) do
    it(name, function()
      local result = results[name]
      assert(result, "did not run:\n" .. output)
      assert(result[1] == "passed", result[2] .. "\n" .. output)
    end)
  end

  it("the server names the client that it refused, and what would allow it", function()
    assert.matches('origins = { "http://localhost:%d+" }', said)
    assert.is_nil(said:find("error", 1, true), said)
  end)

  it("runs every check of the driver", function()
    local known = {}
    for _, name in ipairs(CHECKS) do known[name] = true end
    for name in pairs(results) do assert(known[name], name) end
  end)
end)
