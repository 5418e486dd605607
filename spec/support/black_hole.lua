--- A listening socket that lets everybody wait: its queue is full, and the system answers no more who come.
-- @module spec.support.black_hole
local engine = require("websockets.engine.pure")
local socket = require("socket")

local black_hole = {}
black_hole.__index = black_hole

local BACKLOG = 1

--- Listen at an address; closed with the server.
-- @tparam table server of `spec.support.server`
-- @tparam string address
-- @tparam integer port 0: any
-- @treturn ?black_hole with `port`; nil where the port is taken
function black_hole.listen(server, address, port)
  local make = address:find(":", 1, true) and socket.tcp6 or socket.tcp4
  local listener = make()
  if address:find(":", 1, true) then listener:setoption("ipv6-v6only", true) end
  if not listener:bind(address, port) then
    listener:close()
    return nil
  end
  listener:listen(BACKLOG)
  listener:settimeout(0)
  local self = setmetatable({ server = server, listener = listener, fillers = {}, accepted = {} }, black_hole)
  self.port = math.floor(tonumber((select(2, listener:getsockname()))))
  for i = 1, BACKLOG + 1 do
    local filler = assert(make())
    filler:settimeout(5)
    assert(filler:connect(address, self.port))
    self.fillers[i] = filler
  end
  server.clients[#server.clients + 1] = self
  return self
end

--- Make a server at the second address of localhost, and let everybody wait at the first one.
-- @tparam table server of `spec.support.server`
-- @tparam function listen makes the other at ::1: a table with `port` and `close`, or nil where the system has no IPv6
-- @return what `listen` made; nil without IPv6
-- @treturn black_hole
function black_hole.before(server, listen)
  for _ = 1, 20 do
    local made = listen()
    if not made then return nil end
    local hole = black_hole.listen(server, "127.0.0.1", made.port)
    if hole then return made, hole end
    made:close()
  end
  error("no port is free for both")
end

--- Take all who wait, and answer the client's request; it connects when the system asks again, within seconds.
-- @tparam table log of `peer.watch`: until it is open
function black_hole:answer(log)
  self.server:pump(function()
    local connection = self.listener:accept()
    if connection then
      connection:settimeout(0)
      self.accepted[#self.accepted + 1] = { connection = connection, bytes = "" }
    end
    for _, one in ipairs(self.accepted) do
      local _, _, part = one.connection:receive(4096)
      one.bytes = one.bytes .. (part or "")
      local key = one.bytes:match("\r\nSec%-WebSocket%-Key: ([^\r\n]+)\r\n")
      if key then
        one.connection:send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
          .. "Sec-WebSocket-Accept: " .. engine.accept_key(key) .. "\r\n\r\n")
        one.bytes = ""
      end
    end
    return log.open > 0 or log.closed[1]
  end, "an answer")
end

--- End everything.
function black_hole:close()
  for _, filler in ipairs(self.fillers) do filler:close() end
  for _, one in ipairs(self.accepted) do one.connection:close() end
  self.listener:close()
end

return black_hole
