--- A relay between a peer and a server of a spec, which holds bytes back as it is told.
-- @module spec.support.relay

local socket = require "socket"

local relay = {}
relay.__index = relay

--- Makes a relay in front of a server, for one peer.
-- @tparam table server of `spec.support.server`
-- @treturn relay `port`; `is_held`: whether nothing goes to the peer; `is_muted`: whether nothing goes to the server
function relay.new(server)
  local listening = assert(socket.bind("127.0.0.1", 0))
  listening:settimeout(0)
  local self = setmetatable({
    listening = listening, port = select(2, listening:getsockname()), target = server.port,
    waiting = { "", "" }, received = 0,
  }, relay)
  server.clients[#server.clients + 1] = self
  local turn = server.turn
  function server.turn(...)
    self:step()
    return turn(...)
  end
  return self
end

-- Moves what one side has sent to the other; a large socket buffer of this side would hold much.
local function move(self, from, to, side)
  if self.waiting[side] == "" then
    local bytes, why, partial = from:receive(16384)
    self.waiting[side] = bytes or partial or ""
    if why == "closed" and self.waiting[side] == "" then
      pcall(to.shutdown, to, "send")
      return
    end
  end
  local last, _, partial = to:send(self.waiting[side])
  self.waiting[side] = self.waiting[side]:sub((last or partial or 0) + 1)
end

--- Moves what there is.
function relay:step()
  if not self.peer then
    self.peer = self.listening:accept()
    if not self.peer then return end
    self.server = socket.tcp4()
    pcall(self.server.setoption, self.server, "recv-buffer-size", 4096)
    self.server:settimeout(20)
    assert(self.server:connect("127.0.0.1", self.target))
    self.peer:settimeout(0)
    self.server:settimeout(0)
  end
  if not self.is_muted then move(self, self.peer, self.server, 1) end
  if not self.is_held then move(self, self.server, self.peer, 2) end
end

--- Ends both connections.
function relay:close()
  self.listening:close()
  if self.peer then self.peer:close() end
  if self.server then self.server:close() end
end

return relay
