--- The server of the soak, with every limit on. Prints its engine, its port and its process id; `GET /state` tells its
-- figures, `GET /stop` ends it.
-- @script server
package.path = "./?.lua;lua/?.lua;lua/?/init.lua;" .. package.path

local engine = require("websockets.engine.loader").choose()
local inside = require("spec.support.inside")
local objects = require("soak.objects")
local process = require("soak.process")
local websockets = require("websockets")

local MUCH = ("much "):rep(60000)
-- What is published in topics whose subscribers may be slow.
local PART = ("part "):rep(4000)
local OTHER_PROCESS = ("A"):rep(12)

local context, plane
local errors, ended, dropped = {}, {}, 0

local function count_end(_, code, _, _, why)
  local name = why or code
  ended[name] = (ended[name] or 0) + 1
end

local commands = {}

function commands.sub(ws, topic)
  local is_kept = not plane and topic:find("^kept") ~= nil
  local is_good, why = ws:subscribe(topic, { name = "n" .. topic, since = is_kept and "all" or nil })
  return is_good and "done" or why
end

function commands.unsub(ws, topic)
  ws:unsubscribe(topic)
  return "done"
end

function commands.pub(_, topic)
  local is_slow = not topic:find("^plain") and not topic:find("^kept")
  local is_good, why = context:publish(topic, "news " .. topic .. (is_slow and PART or ""), nil, { key = topic })
  return is_good and "done" or why
end

local function answer(ws, data, kind)
  local command, topic = data:match("^(%l+) ([%l_]+%-%d)$")
  if command then return ws:write(commands[command](ws, topic)) end
  if data == "much" then return ws:write(MUCH) end
  if data == "close" then return ws:close(1000, "as asked") end
  ws:write(data, kind)
end

local function talk(ws)
  ws:on_receive(answer)
  ws:on_closed(count_end)
end

-- The same as `answer`, by a function that waits.
local function wait(ws)
  ws:on_closed(count_end)
  local data, kind = ws:receive()
  while data do
    websockets.sleep(0)
    answer(ws, data, kind)
    data, kind = ws:receive()
  end
end

-- A back plane of the program's own: short messages come back as if another process had published them.
local function new_plane()
  local made = { channels = {} }
  function made.open(_, receive) made.receive = receive end
  function made.publish(_, channel, bytes)
    if made.channels[channel] and #bytes < 100 then
      made.receive(channel, OTHER_PROCESS .. bytes:sub(#OTHER_PROCESS + 1))
    end
  end
  function made.subscribe(_, channel) made.channels[channel] = true end
  function made.unsubscribe(_, channel) made.channels[channel] = nil end
  function made.close() end
  return made
end

-- The name of a topic begins with its policy.
local function topics(has_plane)
  return function(name)
    local kind = name:match("^(.*)%-")
    if kind == "kept" then return not has_plane and { history = { messages = 20, seconds = 5 } } or {} end
    return kind ~= "plain" and { slow_consumer = kind } or {}
  end
end

local function state()
  local found = objects.count()
  local facts = {
    ("connections=%d"):format(inside.connections(context)), ("timers=%d"):format(inside.timers(context)),
    ("buffered=%d"):format(inside.buffered(context)), ("unfinished=%d"):format(inside.budget(context)),
    ("lua_kib=%d"):format(math.floor(collectgarbage("count"))), ("errors=%d"):format(#errors),
    ("waiting=%d"):format(inside.backlog(context)), ("dropped=%d"):format(dropped),
    ("topics=%d"):format(inside.topics(context)), ("kept=%d"):format(inside.kept(context)),
  }
  for _, kind in ipairs({ "table", "function", "userdata", "thread" }) do
    facts[#facts + 1] = ("%ss=%d"):format(kind, found[kind] or 0)
  end
  local ends = {}
  for name, count in pairs(ended) do ends[#ends + 1] = ("%s %d"):format(name, count) end
  table.sort(ends)
  return table.concat(facts, "\n") .. "\nends: " .. table.concat(ends, ", ") .. "\n" .. (errors[1] or "") .. "\n"
end

local function on_http(ws, uri, method, _, body)
  if uri == "/state" then
    ws:respond(200, nil, state())
  elseif uri == "/stop" then
    ws:respond(200)
    context:stop()
  elseif uri == "/file" then
    ws:serve_http_file("CHANGELOG.md")
  elseif method == "POST" then
    ws:respond(200, nil, body)
  else
    ws:respond(404)
  end
end

if os.getenv("BACKPLANE") == "own" then plane = new_plane() end
context = websockets.context({
  topics = topics(plane ~= nil), backplane = plane, on_drop = function(_, _, count) dropped = dropped + count end,
  port = "any", interf = "127.0.0.1", protocols = { echo = talk, wait = websockets.coroutine(wait) }, on_http = on_http,
  on_error = function(err) errors[#errors + 1] = tostring(err) end,
  compression = engine.can_compress and engine.can_compress() and { threshold = 0 } or false,
  max_message_bytes = 65536, max_fragments = 64, max_unfinished_total_bytes = 4194304, message_timeout = 5,
  max_header_bytes = 4096, max_header_lines = 32, max_request_line_bytes = 2048, max_body_bytes = 65536,
  handshake_timeout = 4, max_half_open = 500, keepalive_timeout = 3, body_timeout = 4, response_timeout = 4,
  max_connections = 20000, ping_interval = 6, ping_timeout = 12, close_timeout = 2, idle_timeout = 45,
  high_water_bytes = 16384, max_buffered_bytes = 1048576, max_buffered_total_bytes = 67108864,
})

-- A topic that has had messages is kept for a day. So that this is no growth, these topics have one from the start.
for i = 1, plane and 0 or 2 do context:publish("kept-" .. i, "news kept-" .. i) end

io.stdout:write(("%s %d %d\n"):format(websockets.engine, context:get_port(), process.id()))
io.stdout:flush()
context:run()
context:destroy()
