--- The test page in a real browser, against the test server: once, under one Lua, because the page is what is tested.
-- @module spec.interop.browser_spec

if _VERSION ~= "Lua 5.4" then
  return
end

local child = require "spec.support.child"
local needs = require "spec.support.needs"

local LIMIT_SECONDS = 170
local DRIVER = "spec/support/browser.js"
local CHECKS = {
  "the counter moves and resets",
  "a stroke with the mouse appears in another page, in both directions",
  "boards agree point for point",
  "round trips are measured",
  "the keyboard draws too",
  "on a phone a finger draws, nothing is cut off and every control can be hit",
  "hostile text draws nothing and harms nothing",
  "clearing is local",
  "pages come back by themselves after the server was gone",
  "the button connects anew",
  "what is not there is 404 and the icon is there",
  "the console shows no errors but refused connections",
}

local function node(words)
  return child.run('NODE_PATH="$PWD/.deps/node_modules:$NODE_PATH" timeout -k 3 ' .. LIMIT_SECONDS .. " node " .. words)
end

describe("the test page in a browser", function()
  local missing = needs.reason("Node 18 or later", "Chromium", "the npm package playwright-core")
  if missing then
    pending(missing)
    return
  end

  local results, output = {}, ""

  lazy_setup(function()
    output = node(("%s %s test-server/test-server.lua test-server/"):format(DRIVER, child.quote(child.this_lua())))
    for line in output:gmatch("[^\n]+") do
      local verdict, name, why = line:match("^(%l+)\t([^\t]*)\t?(.*)$")
      if verdict == "picture" then
        io.stdout:write("picture: ", name, "\n")
      elseif verdict == "pid" and name:find("^%d+$") then
        -- The driver ends its servers; this is for the case that it was ended itself.
        child.run(("[ ! -e /proc/%s/cmdline ] || ! grep -q test-server /proc/%s/cmdline || kill %s"):format(
          name, name, name))
      elseif verdict then
        results[name] = { verdict, why }
      end
    end
  end)

  for _, name in ipairs(CHECKS) do
    it(name, function()
      local result = results[name]
      assert(result, "did not run:\n" .. output)
      assert(result[1] == "passed", result[2] .. "\n" .. output)
    end)
  end

  it("runs every check of the driver", function()
    local known = {}
    for _, name in ipairs(CHECKS) do
      known[name] = true
    end
    for name in pairs(results) do
      assert(known[name], name)
    end
  end)
end)
