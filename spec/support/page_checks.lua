--- Checks of pages in a real browser: a driver below Node runs them, each is a test.
-- @module spec.support.page_checks
local assert = require("luassert")
local child = require("spec.support.child")
local facts = require("websockets.http.facts")
local needs = require("spec.support.needs")

local page_checks = {}

--- Tells why pages cannot be looked at here.
-- @treturn ?string nil if they can
function page_checks.what_is_missing()
  local engine = require("websockets.engine.loader").choose()
  if not facts.are_known(engine) then return "needs lua-filesystem or the accelerator" end
  return needs.reason("Node 18 or later", "Chromium", "the npm package playwright-core")
end

--- Runs a driver.
-- @tparam string words path of the driver and its arguments
-- @treturn table name -> `passed` or `failed`, why
-- @treturn string all that it wrote
function page_checks.run(words)
  local output = child.run('NODE_PATH="$PWD/.deps/node_modules:$NODE_PATH" timeout -k 3 170 node ' .. words)
  local results = {}
  for line in output:gmatch("[^\n]+") do
    local verdict, name, why = line:match("^(%l+)\t([^\t]*)\t?(.*)$")
    if verdict then results[name] = { verdict, why } end
  end
  return results, output
end

--- Fails unless a check has passed.
-- @tparam table results
-- @tparam string output
-- @tparam string name
function page_checks.assert_passed(results, output, name)
  local result = results[name]
  assert(result, "did not run:\n" .. output)
  assert(result[1] == "passed", result[2] .. "\n" .. output)
end

--- Fails unless the checks of a spec are all that have run.
-- @tparam table results
-- @tparam {string,...} names
function page_checks.assert_all_known(results, names)
  local known = {}
  for _, name in ipairs(names) do known[name] = true end
  for name in pairs(results) do assert(known[name], name) end
end

return page_checks
