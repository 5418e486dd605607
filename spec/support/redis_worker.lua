--- A process that shares topics with others by a back plane, for specs.
-- @script redis_worker
--
-- `lua spec/support/redis_worker.lua URL PORT [OPTIONS]`: PORT is shared with other processes, or "any"; OPTIONS is the
-- source of a table. It writes `port N`, then what is reported. A client says, each answered in its order:
--
-- - `+ TOPIC`: subscribes it, and answers `+`; `+ TOPIC ID` with `since`; `+ TOPIC - NAME` with a name;
-- - `- TOPIC`: unsubscribes it;
-- - `! TOPIC PUBLISHER FIRST LAST`: publishes `PUBLISHER:FIRST` to `PUBLISHER:LAST`, and answers `!` and how many were
--   accepted;
-- - `b TEXT`: broadcasts; `p TOPIC`: answers `p` and the names that are present.
package.path = "lua/?.lua;./?.lua;" .. package.path

local socket = require("socket")
local websockets = require("websockets")

local url, port, more = arg[1], arg[2], arg[3]
local context

local function say(...)
  print(...)
  io.stdout:flush()
end

local function publish(ws, topic, publisher, first, last)
  local accepted = 0
  for i = tonumber(first), tonumber(last) do
    if context:publish(topic, publisher .. ":" .. ("%d"):format(i)) then accepted = accepted + 1 end
  end
  ws:write("! " .. accepted)
end

local function subscribe(ws, topic, since, name)
  local given = {}
  if since ~= "" and since ~= "-" then given.since = since end
  if name ~= "" then given.name = name end
  if given.since then
    function given.on_joined(_, _, is_complete) ws:write(is_complete and "complete" or "gone") end
  end
  local is_subscribed, message = ws:subscribe(topic, next(given) and given or nil)
  ws:write("+" .. (is_subscribed and "" or message))
end

local commands = {
  ["+"] = function(ws, rest)
    local topic, since, name = rest:match("^(%S+) ?(%S*) ?(%S*)$")
    subscribe(ws, topic, since, name)
  end,
  ["-"] = function(ws, topic) ws:unsubscribe(topic) end,
  ["!"] = function(ws, rest) publish(ws, rest:match("^(%S+) (%S+) (%d+) (%d+)$")) end,
  ["b"] = function(_, text) context:broadcast("chat", text) end,
  ["p"] = function(ws, topic)
    local names = context:presence(topic)
    table.sort(names)
    ws:write("p " .. table.concat(names, " "))
  end,
}

local function serve(ws)
  ws:on_receive(function(_, text)
    local command, rest = text:match("^(%S) ?(.*)$")
    commands[command](ws, rest)
  end)
end

local options = more and assert((loadstring or load)("return " .. more))() or {}
options.backplane = options.backplane or { url = url, reconnect = { min = 0.02, max = 0.2 }, timeout = 2 }
if url ~= "" then options.backplane.url = url end
options.protocols, options.default = { chat = serve }, serve
options.on_error = function(message) say("error " .. tostring(message)) end
options.log = function(level, message)
  if level == "info" then say(message) end
end
if port == "any" then
  options.interf, options.port = "127.0.0.1", "any"
else
  local listener = assert(socket.tcp4())
  assert(listener:setoption("reuseaddr", true))
  assert(listener:setoption("reuseport", true))
  assert(listener:bind("127.0.0.1", tonumber(port)))
  assert(listener:listen(1024))
  options.socket = listener
end

context = websockets.context(options)
say("port " .. (port == "any" and context:get_port() or port))
context:run()
