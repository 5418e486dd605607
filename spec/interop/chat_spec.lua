--- examples/chat in a real browser, as one process and as several with Redis: once, under one Lua.
-- @module spec.interop.chat_spec

if _VERSION ~= "Lua 5.4" then
  return
end

local child = require "spec.support.child"
local needs = require "spec.support.needs"
local page_checks = require "spec.support.page_checks"
local redis = require "spec.support.redis"

local ALONE = {
  "two pages see who is in the room",
  "what one says appears at the other, markup as text",
  "who comes later sees what was said before",
  "rooms are apart",
  "a wrong name is refused",
  "who leaves is not in the list any more",
  "the console shows no errors",
}
local TOGETHER = {
  "pages at different workers share the room",
  "while all workers are replaced, nothing that was sent is lost or comes twice",
}
for _, name in ipairs(ALONE) do TOGETHER[#TOGETHER + 1] = name end

local function declare(missing, checks, start, has_launcher)
  if missing then
    pending(missing)
    return
  end
  local results, output, program = {}, "", nil

  lazy_setup(function()
    program = start()
    local url = program:expect("^(http://%S+)$")
    local pid = has_launcher and program:child_pid() or ""
    results, output = page_checks.run(("spec/support/chat.mjs %s %s"):format(url, pid))
    output = output .. program:stop()
  end)
  lazy_teardown(function()
    if program then program:stop() end
    redis.stop_all()
  end)

  for _, name in ipairs(checks) do
    it(name, function() page_checks.assert_passed(results, output, name) end)
  end

  it("runs every check of the driver", function() page_checks.assert_all_known(results, checks) end)
end

describe("the chat as one process", function()
  declare(page_checks.what_is_missing(), ALONE, function()
    return child.start(child.quote(child.this_lua()) .. " examples/chat/server.lua any")
  end)
end)

describe("the chat as two workers with Redis", function()
  local missing = page_checks.what_is_missing() or needs.reason("Redis")
    or not pcall(require, "luv") and "needs lua-luv" or nil
  declare(missing, TOGETHER, function()
    local server = redis.new():start()
    return child.start(child.quote(child.this_lua()) .. " examples/chat/launch.lua any 2",
      "REDIS_URL=redis://127.0.0.1:" .. server.port)
  end, true)
end)
