--- What a peer that connects to a context says and hears before its WebSocket is open: an opening handshake, or any
-- other request.
-- @module websockets.testing.greeting
local answers = require("websockets.http.answer")
local handshake = require("websockets.protocol.client_handshake")

local greeting = {}
greeting.__index = greeting

local LIMITS = { max_header_bytes = math.huge, max_header_lines = math.huge, max_request_line_bytes = math.huge }

--- Makes one that says nothing and keeps what comes.
-- @treturn greeting
function greeting.silent()
  return { feed = function(_, peer, bytes) peer.bytes[#peer.bytes + 1] = bytes end, ended = function() end }
end

--- Makes one that waits for an answer.
-- @tparam ?string method of the request; nil for an opening handshake
-- @treturn greeting
function greeting.new(method)
  return setmetatable({
    method = method, scanner = answers.new(), read = false, body = false, text = "", fault = false, is_whole = false,
    accept_key = false, protocols = false,
  }, greeting)
end

--- Writes the request of an opening handshake.
-- @tparam table engine
-- @tparam table place `target`, `authority`
-- @tparam table asked `protocols`, `origin`, `headers`
-- @treturn string
function greeting:request(engine, place, asked)
  local key = assert(handshake.key(engine))
  self.accept_key, self.protocols = engine.accept_key(key), asked.protocols
  return handshake.request(place, key, asked)
end

local function take_body(self, bytes)
  if not self.body then
    self.is_whole = true
  else
    self.is_whole = self.body:feed(bytes, 1) and true or false
    self.text = self.body:so_far()
  end
end

local function take_head(self, peer, head, rest)
  local read = answers.read(head)
  if not read then
    self.fault = "the answer is not HTTP"
    return
  end
  self.read, peer.status, peer.headers = read, read.status, read.headers
  if self.accept_key and read.status == 101 then
    local is_good, why = handshake.check(read, self.accept_key, self.protocols)
    if not is_good then
      self.fault = why
      return
    end
    peer.subprotocol = read.headers["sec-websocket-protocol"]
    return peer:open(rest)
  end
  if self.method ~= "HEAD" then self.body = answers.body(read, math.huge) end
  take_body(self, rest)
end

--- Takes bytes of the answer.
-- @tparam peer peer
-- @tparam string bytes
function greeting:feed(peer, bytes)
  if self.fault or self.is_whole then return end
  if self.read then return take_body(self, bytes) end
  local head, after = self.scanner:feed(bytes, LIMITS)
  if head then
    take_head(self, peer, head, bytes:sub(after))
  elseif head == false then
    self.fault = "the answer " .. after
  end
end

--- Takes note that the context ended the connection.
function greeting:ended()
  self.is_whole = true
end

return greeting
