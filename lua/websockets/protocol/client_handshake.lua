--- The client's side of the opening handshake: the request, and what the answer must have.
-- @module websockets.protocol.client_handshake
-- @rfc 6455 4.1
local fields = require("websockets.http.fields")

local client = {}

local concat = table.concat

local KEY_BYTES = 16

--- Makes the key of a request.
-- @rfc 6455 4.1
-- @tparam table engine
-- @treturn[1] string 16 random bytes in Base64
-- @treturn[2] nil
-- @treturn[2] string message
-- @treturn[2] string `entropy`
function client.key(engine)
  local bytes, why, code = engine.random(KEY_BYTES)
  if not bytes then return nil, why, code end
  return engine.base64(bytes)
end

--- Writes the request.
-- @rfc 6455 4.1
-- @tparam table place of `websockets.protocol.url`
-- @tparam string key
-- @tparam table asked `protocols` (list), `origin`, `headers` (name -> value or list of values); each may be false
-- @tparam ?string extensions value of Sec-WebSocket-Extensions
-- @tparam ?string authorization value of Authorization
-- @treturn string bytes of the head
function client.request(place, key, asked, extensions, authorization)
  local lines = {
    "GET " .. place.target .. " HTTP/1.1", "Host: " .. (place.virtual_host or place).authority,
    "Upgrade: websocket", "Connection: Upgrade",
    "Sec-WebSocket-Key: " .. key, "Sec-WebSocket-Version: 13",
  }
  if asked.protocols and asked.protocols[1] then
    lines[#lines + 1] = "Sec-WebSocket-Protocol: " .. concat(asked.protocols, ", ")
  end
  if extensions then lines[#lines + 1] = "Sec-WebSocket-Extensions: " .. extensions end
  if asked.origin then lines[#lines + 1] = "Origin: " .. asked.origin end
  if authorization then lines[#lines + 1] = "Authorization: " .. authorization end
  fields.write(lines, asked.headers)
  lines[#lines + 1] = "\r\n"
  return concat(lines, "\r\n")
end

local function check_subprotocol(value, protocols)
  if not value then return true end
  for _, name in ipairs(protocols or {}) do
    if name == value then return true end
  end
  return nil, "the server chose a subprotocol that was not offered"
end

local function check_upgrade(headers, accept_key)
  local upgrade = fields.elements(headers.upgrade or "")
  if #upgrade ~= 1 or upgrade[1]:lower() ~= "websocket" then return nil, "the answer has no 'Upgrade: websocket'" end
  if not fields.has_token(headers.connection, "upgrade") then return nil, "the answer has no 'Connection: Upgrade'" end
  if headers["sec-websocket-accept"] ~= accept_key then
    return nil, "the Sec-WebSocket-Accept of the answer is not that of our key"
  end
  return true
end

--- Checks the answer that opens a WebSocket.
-- @rfc 6455 4.1
-- @tparam table answer with status 101, as `websockets.http.answer` read it
-- @tparam string accept_key the value that Sec-WebSocket-Accept must have
-- @tparam ?{string,...} protocols that were offered
-- @treturn[1] boolean true
-- @treturn[2] nil
-- @treturn[2] string message
function client.check(answer, accept_key, protocols)
  if answer.minor == 0 then return nil, "the server answered 101 in HTTP/1.0" end
  if answer.is_malformed then return nil, "a header line of the answer is not HTTP" end
  local is_good, why = check_upgrade(answer.headers, accept_key)
  if not is_good then return nil, why end
  return check_subprotocol(answer.headers["sec-websocket-protocol"], protocols)
end

return client
