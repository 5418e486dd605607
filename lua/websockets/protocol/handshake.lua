--- The server's side of the opening handshake: what a request must have, and the answer.
-- @module websockets.protocol.handshake
local errors = require("websockets.errors")
local fields = require("websockets.http.fields")
local http = require("websockets.http.head")

local handshake = {}

local find = string.find

-- RFC 6455 4.2.1 (5): the Base64 of 16 bytes has 24 characters.
local function is_key(key)
  return #key == 24 and find(key, "^[a-zA-Z0-9+/]*==$") ~= nil
end

-- RFC 9110 15.5.22, RFC 6455 4.4
local UPGRADE_REQUIRED = { Upgrade = "websocket", Connection = "Upgrade", ["Sec-WebSocket-Version"] = "13" }

--- Checks an upgrade request.
-- @rfc 6455 4.2.1
-- @rfc 6455 4.2.2
-- @tparam table request
-- @treturn[1] boolean true
-- @treturn[2] nil
-- @treturn[2] integer status 400, 405 or 426
-- @treturn[2] ?table further headers of the answer
function handshake.check(request)
  local headers = request.headers
  if request.method ~= "GET" then return nil, 405, { Allow = "GET" } end
  if not fields.has_token(headers.connection, "upgrade") then return nil, 426, UPGRADE_REQUIRED end
  if headers["sec-websocket-version"] ~= "13" then return nil, 426, UPGRADE_REQUIRED end
  if not is_key(headers["sec-websocket-key"] or "") then return nil, 400 end
  if request.length > 0 or request.chunked then return nil, 400 end
  return true
end

local FOR_PROXIES = "; a proxy in front of this server must speak HTTP/1.1 to it and pass on Upgrade and Connection "
  .. '(nginx: proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade";)'

--- Says what an opening handshake has lost on its way, as proxies lose it that know nothing of WebSocket.
-- @rfc 9110 7.6.1, 7.8
-- @tparam table request
-- @treturn ?string a message for the log; nil if this is no opening handshake, or nothing is lost
function handshake.lost_on_the_way(request)
  local headers, lost = request.headers, nil
  if not headers["sec-websocket-key"] then return nil end
  if request.minor == 0 then
    lost = "over HTTP/1.0"
  elseif not fields.has_token(headers.upgrade, "websocket") then
    lost = "without 'Upgrade: websocket'"
  elseif not fields.has_token(headers.connection, "upgrade") then
    lost = "without 'Connection: Upgrade'"
  end
  return lost and "an opening handshake came " .. lost .. FOR_PROXIES
end

local NONE = {}

--- Says for the log why a client is refused that offers no subprotocol of the server's.
-- @tparam {string,...} offered
-- @treturn string
function handshake.unserved(offered)
  local offer = "no subprotocol"
  if #offered > 0 then offer = errors.describe(table.concat(offered, ", ")) .. ", none of 'protocols'" end
  return ("refused a client that offers %s; 'default' would take it"):format(offer)
end

--- Says what is wrong with the name of a subprotocol.
-- @rfc 6455 4.1
-- @param name
-- @treturn ?string nil if it may be used
function handshake.name_fault(name)
  if type(name) ~= "string" then return "the name of a subprotocol is a string" end
  return not fields.is_token(name) and "a name has only letters, digits and !#$%&'*+-.^_`|~" or nil
end

--- Reads the subprotocols that a client offers.
-- @rfc 6455 4.1
-- @tparam table request
-- @treturn[1] {string,...} in the client's order; empty if none is offered, or the field is empty
-- @treturn[2] nil
-- @treturn[2] integer status 400: this is not a list of different tokens
function handshake.subprotocols(request)
  local value = request.headers["sec-websocket-protocol"]
  if not value then return NONE end
  local list, seen = fields.elements(value), {}
  for _, name in ipairs(list) do
    if not fields.is_token(name) or seen[name] then return nil, 400 end
    seen[name] = true
  end
  return list
end

--- Chooses the subprotocol and its handler.
-- @rfc 6455 4.2.2
-- @tparam {string,...} offered in the client's order
-- @tparam ?table protocols name -> handler
-- @tparam ?function default handler if no name matches
-- @treturn[1] function handler
-- @treturn[1] ?string subprotocol, nil with the default handler
-- @treturn[2] nil no handler matches
function handshake.choose(offered, protocols, default)
  for _, name in ipairs(offered) do
    local handler = protocols and protocols[name]
    if handler then return handler, name end
  end
  return default
end

--- Writes the answer that accepts a WebSocket.
-- @rfc 6455 4.2.2
-- @tparam table engine
-- @tparam table request
-- @tparam ?string subprotocol
-- @tparam ?table headers further headers, name -> value or list of values
-- @tparam ?string extensions value of Sec-WebSocket-Extensions
-- @treturn string bytes of the head
function handshake.accept(engine, request, subprotocol, headers, extensions)
  -- RFC 9110 7.8: a client that awaits 100 (Continue) gets it before the 101.
  local interim = request.awaits_continue and http.CONTINUE or ""
  local lines = {
    interim .. "HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade",
    "Sec-WebSocket-Accept: " .. engine.accept_key(request.headers["sec-websocket-key"]),
  }
  if subprotocol then lines[#lines + 1] = "Sec-WebSocket-Protocol: " .. subprotocol end
  if extensions then lines[#lines + 1] = "Sec-WebSocket-Extensions: " .. extensions end
  fields.write(lines, headers)
  lines[#lines + 1] = "\r\n"
  return table.concat(lines, "\r\n")
end

return handshake
