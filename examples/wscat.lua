--- Talks to a WebSocket server from a terminal: `lua examples/wscat.lua URL`. Each line that is typed, or that comes
-- through a pipe, is sent as a message; messages that come are printed. It ends with its input, a second after the last
-- message, or when the server closes.
-- @script wscat
local here = arg[0]:match("^.*[/\\]") or "./"
package.path = here .. "../lua/?.lua;" .. package.path

local socket = require("socket")
local websockets = require("websockets")

-- So long nothing looks after pings.
local LOOK_SECONDS = 1

local function tell(...)
  io.stderr:write(table.concat({ ... }, " "), "\n")
end

local function print_message(message, type)
  if type == websockets.WRITE_BINARY then message = ("(%d bytes of binary)"):format(#message) end
  print(message)
end

-- Prints what comes until nothing has come for so many seconds; false when the connection has ended.
local function print_all(ws, seconds)
  local message, type = ws:receive(seconds)
  while message do
    print_message(message, type)
    message, type = ws:receive(seconds)
  end
  return type == "timeout"
end

-- Sends lines and prints messages, whatever comes first, until the input or the connection ends.
local function talk(ws)
  -- What `select` takes for sockets. Without a buffer it sees each line that waits; half a line is waited for.
  local input = { getfd = function() return 0 end }
  local peer = { getfd = function() return ws:get_socket_fd() end }
  io.stdin:setvbuf("no")
  while print_all(ws, 0) do
    local ready = socket.select({ input, peer }, nil, LOOK_SECONDS)
    if ready[input] then
      local line = io.read("*l")
      if not line then return print_all(ws, LOOK_SECONDS) end
      local result, why = ws:write(line)
      if result ~= 0 then tell("not sent:", why) end
    end
  end
end

io.stdout:setvbuf("line")
local function tell_usage(what)
  if what then tell(what) end
  tell("usage: lua examples/wscat.lua URL")
  os.exit(1)
end

if not arg[1] then tell_usage() end
-- Protected: it raises for what is no URL.
local is_url, ws, message, code = pcall(websockets.connect, arg[1])
if not is_url then tell_usage(ws) end
if not ws then
  tell(message, "(" .. code .. ")")
  os.exit(1)
end
talk(ws)
local is_clean, why, reason = ws:close(1000)
tell(is_clean and "closed:" or "broken:", tostring(why), tostring(reason))
