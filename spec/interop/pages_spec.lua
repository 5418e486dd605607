--- Pages, JSON, a login and WebSockets on one port, in a real browser: once, under one Lua.
-- @module spec.interop.pages_spec

if _VERSION ~= "Lua 5.4" then
  return
end

local child = require "spec.support.child"
local page_checks = require "spec.support.page_checks"

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

describe("pages in a browser", function()
  local missing = page_checks.what_is_missing()
  if missing then
    pending(missing)
    return
  end

  local results, output, said, program = {}, "", "", nil

  lazy_setup(function()
    program = child.start(child.quote(child.this_lua()) .. " examples/todo/server.lua any")
    results, output = page_checks.run("spec/support/pages.mjs " .. program:expect("^(http://%S+)$"))
    said = program:stop()
  end)
  lazy_teardown(function()
    if program then program:stop() end
  end)

  for _, name in ipairs(CHECKS) do
    it(name, function() page_checks.assert_passed(results, output, name) end)
  end

  it("the server names the client that it refused, and what would allow it", function()
    assert.matches('origins = { "http://localhost:%d+" }', said)
    assert.is_nil(said:find("error", 1, true), said)
  end)

  it("runs every check of the driver", function() page_checks.assert_all_known(results, CHECKS) end)
end)
