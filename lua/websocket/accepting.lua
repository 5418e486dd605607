--- What the servers of the API of 2.x share: a listening socket, and a context that serves what it accepts.
-- @classmod websocket.accepting
local eventful = require("websocket.eventful")
local websockets = require("websockets")

local accepting = {}
accepting.__index = accepting

local BACKLOG = 4096
local MAX_MESSAGE_BYTES = 16 * 1024 * 1024

-- Which option of the context takes the connections with this handler.
local function handlers(self, opened)
  local protocols = {}
  for name, handler in pairs(self.options.protocols or {}) do
    protocols[name] = function(ws) opened(ws, name, handler) end
  end
  local default = self.options.default
  return protocols, default and function(ws) opened(ws, true, default) end
end

--- Listens.
-- @tparam table options of `listen`; `context`: further options of `websockets.context`
-- @tparam function opened `opened(self, ws, peer, protocol, handler)` for each WebSocket; `protocol` is true without
-- one, `peer` what `getpeername` told
-- @tparam function failed `failed(self, message)`: an opening handshake has failed
-- @treturn accepting
-- @raise without handlers; where the port cannot be had
function accepting.listen(options, opened, failed)
  if type(options) ~= "table" or not (options.protocols or options.default) then
    error("listen needs 'protocols' or 'default'", 3)
  end
  local listener, why = require("socket").bind(options.interface or "*", options.port or 80, BACKLOG)
  if not listener then error(why, 3) end
  listener:settimeout(0)
  local self = setmetatable({
    options = options, listener = listener, failed = failed, members = {}, count = 0, is_closed = false,
  }, accepting)
  local protocols, default = handlers(self, function(ws, name, handler)
    local arrival = ws.user or self.arriving
    arrival.has_opened = true
    opened(self, ws, arrival, name, handler)
  end)
  local given = { origins = "*", max_message_bytes = MAX_MESSAGE_BYTES, on_error = eventful.report }
  for name, value in pairs(options.context or {}) do given[name] = value end
  given.protocols, given.default = protocols, default
  self.context = websockets.context(given)
  return self
end

--- Serves a connection that was accepted.
-- @tparam userdata sock LuaSocket object
-- @treturn[1] table ws of `websockets`
-- @treturn[1] table arrival `ip`, `port`, `family` of the peer; `has_opened`
-- @treturn[2] nil
function accepting:take(sock)
  local ip, port, family = sock:getpeername()
  local arrival = { ip = ip, port = tonumber(port), family = family, has_opened = false }
  self.arriving = arrival
  local ws, why = self.context:adopt(sock)
  self.arriving = nil
  if not ws then
    self.failed(self, why)
    return nil
  end
  ws.user = arrival
  if arrival.has_opened then return ws, arrival end
  local function fail(_, _, reason, _, word)
    self.failed(self, "Websocket Handshake failed: " .. (reason ~= "" and reason or word))
  end
  ws:on_closed(fail)
  -- The peer had gone already.
  if ws:get_socket_fd() < 0 then fail(ws, 1006, "", false, "closed") end
  return ws, arrival
end

--- Counts an open connection.
-- @tparam string|boolean protocol
-- @tparam table connection
function accepting:add(protocol, connection)
  local members = self.members[protocol] or {}
  self.members[protocol], members[connection] = members, true
  self.count = self.count + 1
end

local function end_context(self)
  if self.is_closed and self.count == 0 then self.context:destroy() end
end

--- Forgets a connection that has ended.
-- @tparam string|boolean protocol
-- @tparam table connection
function accepting:remove(protocol, connection)
  local members = self.members[protocol]
  if not members[connection] then return end
  members[connection] = nil
  self.count = self.count - 1
  end_context(self)
end

--- Sends a message to all open connections of a protocol, the sender last.
-- @tparam string|boolean protocol
-- @tparam table sender
-- @tparam string data
-- @tparam ?integer opcode
function accepting:broadcast(protocol, sender, data, opcode)
  for connection in pairs(self.members[protocol] or {}) do
    if connection ~= sender and connection.state == "OPEN" then connection:post(data, opcode) end
  end
  sender:post(data, opcode)
end

--- Ends listening. Connections have the methods `post`, which sends without waiting, and `leave`, which closes.
-- @tparam ?boolean keeps_clients else the connections are closed too
function accepting:close(keeps_clients)
  if self.is_closed then return end
  self.is_closed = true
  self.listener:close()
  local list = {}
  for _, members in pairs(keeps_clients and {} or self.members) do
    for connection in pairs(members) do list[#list + 1] = connection end
  end
  for _, connection in ipairs(list) do connection:leave() end
  end_context(self)
end

require("websockets.loading").interpret(handlers, accepting.listen, accepting.broadcast, accepting.close)

return accepting
