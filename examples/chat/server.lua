--- A chat server with rooms, names, earlier messages and a list of who is present. It runs as one process, or as a
-- worker of launch.lua. Processes with the same REDIS_URL in their environment, such as `redis://localhost`, share the
-- rooms.
-- `lua examples/chat/server.lua [port [address]]`; the default port is 8004; for `any` the system chooses one.
-- @script chat

local here = arg[0]:match("^.*[/\\]") or "./"
package.path = here .. "../../lua/?.lua;" .. here .. "../../lua/?/init.lua;" .. package.path
io.stdout:setvbuf("line")

local websockets = require("websockets")

local MAX_TEXT_BYTES, LOOK_SECONDS = 2000, 0.25
local ROOM, NAME = "^[%w][%w _-]*$", "^[%w][%w ._-]*$"
local MAX_NAME_BYTES = 30
local worker = os.getenv("WEBSOCKETS_WORKER")
local redis_url = os.getenv("REDIS_URL")

local context
local rooms = {} -- name -> { members = {ws = true}, people = what they were told last }

local function log(level, message)
  io.stderr:write("chat: ", level, ": ", tostring(message), "\n")
end

local function quote(text)
  return '"' .. text:gsub('[%c"\\]', function(c) return ("\\u%04x"):format(c:byte()) end) .. '"'
end

-- Messages of a room get their ids where they are kept: the client names the last one when it comes back.
local function with_id(data, id)
  return '{"type":"said","id":' .. quote(id) .. "," .. data
end

local function people_of(room)
  local names = context:presence("room:" .. room)
  for i, name in ipairs(names) do names[i] = quote(name) end
  return '{"type":"people","names":[' .. table.concat(names, ",") .. "]}"
end

-- If the list of names in a room has changed, sends it to the members that are connected to this process. The list has
-- the members of all processes.
local function tell_people(name, room)
  local people = people_of(name)
  if people == room.people then return end
  room.people = people
  for ws in pairs(room.members) do ws:write(people) end
end

local function leave(ws)
  local name = ws.room
  local room = rooms[name]
  if not room then return end
  ws.room = nil
  room.members[ws] = nil
  if next(room.members) then tell_people(name, room) else rooms[name] = nil end
end

local function refuse(ws, text)
  ws:write('{"type":"refused","why":' .. quote(text) .. "}")
end

local verbs = {}

-- join, room, name, id of the last message that the client has: "all" for none.
function verbs.join(ws, room_name, name, since)
  if not (room_name:find(ROOM) and name:find(NAME)) or #room_name > MAX_NAME_BYTES or #name > MAX_NAME_BYTES then
    return refuse(ws, "a name has 1 to 30 letters, digits, spaces, dots, dashes")
  end
  if ws.room then
    ws:unsubscribe("room:" .. ws.room)
    leave(ws)
  end
  local is_subscribed, message = ws:subscribe("room:" .. room_name, {
    name = name, since = since,
    on_joined = function(_, _, is_complete)
      if not is_complete then ws:write('{"type":"gone"}') end
    end,
  })
  if not is_subscribed then return refuse(ws, message) end
  local room = rooms[room_name] or { members = {}, people = "" }
  rooms[room_name] = room
  ws.room, ws.name = room_name, name
  room.members[ws] = true
  ws:write('{"type":"joined","by":' .. quote(worker or "one process") .. "}")
  -- The new one has been told nothing yet.
  room.people = ""
  tell_people(room_name, room)
end

-- say, text
function verbs.say(ws, text)
  if not ws.room then return refuse(ws, "join a room first") end
  if text == "" or #text > MAX_TEXT_BYTES then return refuse(ws, "a text has 1 to 2,000 bytes") end
  local data = ('"name":%s,"text":%s,"time":%d}'):format(quote(ws.name), quote(text), os.time())
  local is_published, message = context:publish("room:" .. ws.room, data, nil, {
    on_stored = function(id, why)
      if not id then refuse(ws, why) end
    end,
  })
  if not is_published then refuse(ws, message) end
end

local function serve(ws)
  ws:on_receive(function(_, text)
    local words = {}
    for word in (text .. "\n"):gmatch("([^\n]*)\n") do words[#words + 1] = word end
    if words[1] == "join" and #words == 4 then return verbs.join(ws, words[2], words[3], words[4]) end
    if words[1] == "say" then return verbs.say(ws, text:sub(#"say\n" + 1)) end
    refuse(ws, "not understood")
  end)
  ws:on_closed(leave)
end

context = websockets.context{
  port = not worker and (tonumber(arg[1] or 8004) or arg[1]) or nil,
  interf = not worker and (arg[2] or "127.0.0.1") or nil,
  socket = worker and "worker" or nil,
  log = log,
  on_error = function(err) log("error", err) end,
  on_http = websockets.files(here .. "site", { cache_control = "no-cache" }),
  protocols = { chat = serve },
  max_message_bytes = 4096,
  backplane = redis_url and { url = redis_url, prefix = "chat:" } or nil,
  topics = function(topic)
    if topic:find("^room:") then return { history = { messages = 100, seconds = 86400, encode = with_id } } end
  end,
}

-- Names come and go in other processes too.
context:every(LOOK_SECONDS, function()
  for name, room in pairs(rooms) do tell_people(name, room) end
end)

if not worker then print(("http://%s:%d/"):format(arg[2] or "127.0.0.1", context:get_port())) end
-- Ctrl-C raises inside run; then the context is destroyed.
pcall(context.run, context)
pcall(context.destroy, context)
