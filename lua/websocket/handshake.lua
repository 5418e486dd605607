--- Opening handshakes of the API of 2.x.
-- @module websocket.handshake
local codec = require("websockets.codec")

local handshake = {
  --- The value of Sec-WebSocket-Accept: `sec_websocket_accept(key)`.
  sec_websocket_accept = codec.accept_key,
}

-- Programs compare these values with words in lower case.
local TOKENS = { upgrade = true, connection = true }

--- Reads the headers of a request or an answer. A line that is no header is passed over.
-- @tparam string text
-- @treturn table lower-case name -> value, repeated ones joined by a comma; empty where it is not HTTP/1.1. The values
-- of Upgrade and Connection are in lower case
-- @treturn ?string what follows the empty line; nil where there is none
function handshake.http_headers(text)
  local first, rest = text:match("^([^\r\n]*)\r\n(.*)$")
  local headers = {}
  if not first or not first:find("HTTP/1.1", 1, true) then return headers end
  for line, after in rest:gmatch("([^\r\n]*)\r\n()") do
    if line == "" then return headers, rest:sub(after) end
    local name, value = line:match("^([^%s:]+)[ \t]*:[ \t]*(.-)[ \t]*$")
    if name then
      name = name:lower()
      if TOKENS[name] then value = value:lower() end
      headers[name] = headers[name] and headers[name] .. "," .. value or value
    end
  end
  return headers
end

-- A value with a line end would add lines of its own.
local function header(name, value)
  value = tostring(value)
  if value:find("[%c]") then error(("%s has control characters"):format(name), 3) end
  return name .. ": " .. value
end

--- Writes the request of an opening handshake.
-- @tparam table request `key`, `host`, `port`, `protocols` (list), `origin`, `uri`
-- @treturn string bytes
-- @raise for a value with control characters
function handshake.upgrade_request(request)
  local host = request.host
  if request.port and request.port ~= 80 then host = ("%s:%d"):format(host, request.port) end
  local target = request.uri or "/"
  if target:find("[%c ]") then error("uri has blanks or control characters", 2) end
  local lines = {
    ("GET %s HTTP/1.1"):format(target), header("Host", host), "Upgrade: websocket", "Connection: Upgrade",
    header("Sec-WebSocket-Key", request.key),
  }
  local offered = table.concat(request.protocols or {}, ", ")
  if offered ~= "" then lines[#lines + 1] = header("Sec-WebSocket-Protocol", offered) end
  lines[#lines + 1] = "Sec-WebSocket-Version: 13"
  if request.origin then lines[#lines + 1] = header("Origin", request.origin) end
  return table.concat(lines, "\r\n") .. "\r\n\r\n"
end

--- Answers the request of an opening handshake, by the rules of RFC 6455.
-- @tparam string text of the request; its last empty line may be missing
-- @tparam {string,...} protocols that are served
-- @treturn[1] string bytes of the answer
-- @treturn[1] ?string subprotocol: the first of the client's that is served
-- @treturn[2] nil
-- @treturn[2] string bytes of the refusal: 400, or 405 or 426
function handshake.accept_upgrade(text, protocols)
  local answer, name, refusal = codec.accept(text, protocols)
  if answer then return answer, name end
  return nil, refusal
end

return handshake
