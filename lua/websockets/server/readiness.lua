--- What systemd is told of a server: that it is ready, and that it comes to its end.
-- @module websockets.server.readiness
local readiness = {}

-- LuaSocket sends no zero byte in a path, which the names of abstract sockets begin with.
local function send(path, text)
  if path:sub(1, 1) == "@" then return nil, "its name is abstract" end
  local found, unix = pcall(require, "socket.unix")
  local make = found and type(unix) == "table" and unix.dgram
  if not make then return nil, "this LuaSocket has no unix sockets (socket.unix)" end
  local socket, why = make()
  if not socket then return nil, why end
  local sent
  sent, why = socket:sendto(text, path)
  socket:close()
  return sent, why
end

--- Tells systemd, if it has asked for that.
-- @tparam table log with `log(level, message)`
-- @tparam string state `READY=1`: connections are accepted; `STOPPING=1`: no more
function readiness.tell(log, state)
  local path = os.getenv("NOTIFY_SOCKET")
  if not path or path == "" then return end
  local sent, why = send(path, state)
  if sent then return end
  log:log("warning", ("systemd was not told %s by the socket %s: %s"):format(state, path, tostring(why)))
end

return readiness
