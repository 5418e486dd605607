--- The way through an HTTP proxy, without I/O: the method CONNECT and the proxy's answer.
-- @classmod websockets.client.http_tunnel
-- @rfc 9110 9.3.6
local answer = require("websockets.http.answer")
local credentials = require("websockets.http.credentials")

local http_tunnel = {}
http_tunnel.__index = http_tunnel

-- RFC 9110 11.7.1. Some proxies (tinyproxy) answer 401 to wrong credentials.
local WANTS_CREDENTIALS = { [401] = true, [407] = true }

--- Makes a tunnel.
-- @tparam table place of `websockets.protocol.url`: where it is to lead
-- @tparam table proxy of `websockets.client.proxy`
-- @tparam table given `base64` encodes Base64, `limits` as for `http.scan`
-- @treturn http_tunnel
function http_tunnel.new(place, proxy, given)
  local target = ("%s:%d"):format(place.name, place.port)
  local lines = { ("CONNECT %s HTTP/1.1"):format(target), "Host: " .. target }
  if proxy.user then
    lines[#lines + 1] = "Proxy-Authorization: " .. credentials.write_basic(proxy.user, proxy.password, given.base64)
  end
  lines[#lines + 1] = "\r\n"
  return setmetatable({
    request = table.concat(lines, "\r\n"), answer = answer.new(), limits = given.limits, has_user = proxy.user ~= nil,
  }, http_tunnel)
end

--- Begins.
-- @treturn string bytes for the proxy
function http_tunnel:begin()
  return self.request
end

--- Takes bytes of the proxy.
-- @tparam string bytes
-- @treturn[1] string the tunnel is there: bytes that came after the proxy's answer
-- @treturn[2] nil more has to come
-- @treturn[2] ?string bytes for the proxy
-- @treturn[3] boolean false
-- @treturn[3] string what the proxy did
-- @treturn[3] boolean whether it is about our credentials
function http_tunnel:feed(bytes)
  local head, after = self.answer:feed(bytes, self.limits)
  if head == nil then return nil end
  if head == false then return false, "gave an answer that " .. after, false end
  local read = answer.read(head)
  if not read then return false, "gave an answer that is not HTTP", false end
  -- RFC 9110 9.3.6: any 2xx opens the tunnel, and has no body whatever its fields say.
  if read.status >= 200 and read.status < 300 then return bytes:sub(after) end
  if not WANTS_CREDENTIALS[read.status] then return false, "answered " .. read.text, false end
  return false, ("answered %s: it %s"):format(read.text, self.has_user and "refuses these credentials"
    or "wants a user and a password"), true
end

return http_tunnel
