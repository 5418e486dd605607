--- A shared to-do list: pages, a small REST interface, a login by cookie and two WebSockets on one port.
-- `lua examples/todo/server.lua [port [address]]`; the default port is 8003; for `any` the system chooses one.
-- @script todo

local here = arg[0]:match("^.*[/\\]") or "./"
package.path = here .. "../../lua/?.lua;" .. here .. "../../lua/?/init.lua;" .. package.path
io.stdout:setvbuf("line")

local websockets = require "websockets"
local is_utf8 = require("websockets.engine.loader").choose().valid_utf8

local MAX_TEXT_BYTES, MAX_ITEMS, MAX_SESSIONS = 200, 100, 1000

local context
local sessions, session_count = {}, 0 -- token -> name
local items, last_id = {}, 0
local online = {} -- name -> how many connections

-- JSON

local function quote(text)
  return '"' .. text:gsub('[%c"\\]', function(c) return ("\\u%04x"):format(c:byte()) end) .. '"'
end

local function items_json()
  local list = {}
  for i, item in ipairs(items) do
    list[i] = ('{"id":%d,"text":%s,"by":%s}'):format(item.id, quote(item.text), quote(item.by))
  end
  return "[" .. table.concat(list, ",") .. "]"
end

local function people_json()
  local names = {}
  for name in pairs(online) do names[#names + 1] = name end
  table.sort(names)
  for i, name in ipairs(names) do names[i] = quote(name) end
  return "[" .. table.concat(names, ",") .. "]"
end

local function respond_json(ws, status, text)
  ws:respond(status, { ["Content-Type"] = "application/json", ["Cache-Control"] = "no-store" }, text)
end

-- Methods are called as statements: in a tail call an error of the library would not name the line.
local function refuse_method(ws, allowed)
  ws:respond(405, { Allow = allowed })
end

-- Users

local function new_token()
  local source = assert(io.open("/dev/urandom", "rb"))
  local bytes = source:read(16)
  source:close()
  return (bytes:gsub(".", function(c) return ("%02x"):format(c:byte()) end))
end

local function user_of(request)
  return sessions[request.cookies.session or ""]
end

local function login(ws, _, method, _, body)
  if method ~= "POST" then return refuse_method(ws, "POST") end
  if not body:find("^[%w ._-]+$") or #body > 30 or session_count >= MAX_SESSIONS then
    ws:respond(422)
    return
  end
  local token = new_token()
  sessions[token], session_count = body, session_count + 1
  ws:respond(204, { ["Set-Cookie"] = "session=" .. token .. "; Path=/; HttpOnly; SameSite=Strict" })
end

-- REST interface

local function broadcast_items() context:broadcast("todo.items", items_json()) end

local function serve_items(ws, _, method, _, body)
  local user = user_of(ws:request())
  if not user then return respond_json(ws, 401, '{"error":"log in first"}') end
  if method == "GET" then return respond_json(ws, 200, items_json()) end
  if method ~= "POST" then return refuse_method(ws, "GET, POST") end
  if body == "" or #body > MAX_TEXT_BYTES or not is_utf8(body) or #items >= MAX_ITEMS then
    return respond_json(ws, 422, '{"error":"empty, too long, not UTF-8, or too many items"}')
  end
  last_id = last_id + 1
  items[#items + 1] = { id = last_id, text = body, by = user }
  respond_json(ws, 201, ('{"id":%d}'):format(last_id))
  broadcast_items()
end

local function serve_item(ws, _, method)
  local request = ws:request()
  if not user_of(request) then return respond_json(ws, 401, '{"error":"log in first"}') end
  if method ~= "DELETE" then return refuse_method(ws, "DELETE") end
  for i, item in ipairs(items) do
    if tostring(item.id) == request.params.id then
      table.remove(items, i)
      ws:respond(204)
      return broadcast_items()
    end
  end
  respond_json(ws, 404, '{"error":"no such item"}')
end

-- WebSockets

-- Only users who have logged in get a WebSocket; `ws.user` is their name.
local function check_login(request)
  local user = user_of(request)
  if not user then return false, 401 end
  return true, { user = user }
end

local function live_items(ws)
  ws:write(items_json())
end

local function live_people(ws)
  online[ws.user] = (online[ws.user] or 0) + 1
  context:broadcast("todo.people", people_json())
  ws:on_closed(function()
    local remaining = online[ws.user] - 1
    online[ws.user] = remaining > 0 and remaining or nil
    context:broadcast("todo.people", people_json())
  end)
end

local function log(level, message)
  io.stderr:write("todo: ", level, ": ", tostring(message), "\n")
end

context = websockets.context{
  port = tonumber(arg[1] or 8003) or arg[1],
  interf = arg[2] or "127.0.0.1",
  log = log,
  on_error = function(err) log("error", err) end,
  on_http = websockets.files(here .. "site", { cache_control = "no-cache" }),
  on_handshake = check_login,
  max_message_bytes = 1024,
  max_body_bytes = 4096,
  routes = {
    ["/login"] = { on_http = login },
    ["/api/items"] = { on_http = serve_items },
    ["/api/items/:id"] = { on_http = serve_item },
    ["/live/items"] = { protocols = { ["todo.items"] = live_items } },
    ["/live/people"] = { protocols = { ["todo.people"] = live_people } },
  },
}

print(("http://%s:%d/"):format(arg[2] or "127.0.0.1", context:get_port()))
-- Ctrl-C raises inside run; then the context is destroyed.
pcall(context.run, context)
pcall(context.destroy, context)
