--- From the arguments of `connect` of the API of 2.x to those of `websockets.connect` and `context:connect`.
-- @module websocket.dialling
local tools = require("websocket.tools")

local dialling = {}

local SCHEMES = { ws = true, wss = true }
-- What LuaSec calls the protocols that are in use; older names stand for these two.
local TLS_PROTOCOLS = { any = true, tlsv1_2 = true, tlsv1_3 = true }
-- Words that programs of 2.x may compare.
local MESSAGES = {
  refused = "connection refused", host = "host or service not provided, or not known", timeout = "timeout",
}

--- Takes a URL apart.
-- @tparam string url
-- @treturn[1] string scheme `ws` or `wss`
-- @treturn[1] string host
-- @treturn[1] integer port
-- @treturn[1] string path and query
-- @treturn[2] nil
-- @treturn[2] string `bad protocol`
-- @raise `Invalid URL:` and the URL, for one without scheme or host
function dialling.place(url)
  local is_good, scheme, host, port, target = pcall(tools.parse_url, url)
  if not is_good then error("Invalid URL:" .. tostring(url), 3) end
  if not SCHEMES[scheme] then return nil, "bad protocol" end
  return scheme, host, port, target
end

--- Reads the subprotocols that a client offers.
-- @tparam ?string|{string,...} given
-- @treturn ?{string,...} nil for none
function dialling.protocols(given)
  if type(given) == "string" then given = { given } end
  local list = {}
  for _, name in ipairs(given or {}) do
    if name ~= "" then list[#list + 1] = name end
  end
  return list[1] and list or nil
end

--- Makes the option `tls` out of parameters of LuaSec.
-- @tparam ?table params
-- @treturn ?table nil for none
function dialling.tls(params)
  if type(params) ~= "table" then return nil end
  local tls = {}
  for name, value in pairs(params) do tls[name] = value end
  if not TLS_PROTOCOLS[tls.protocol] then tls.protocol = nil end
  if type(tls.options) == "string" then tls.options = { tls.options } end
  return tls
end

--- Makes the option `timeout` of `connect` out of a client's.
-- @tparam ?number seconds
-- @treturn ?number nil for none
function dialling.timeout(seconds)
  return type(seconds) == "number" and seconds > 0 and seconds or nil
end

--- Says why there is no connection, where 2.x has a text for it in its words.
-- @tparam string message
-- @tparam string code of `websockets.errors`
-- @treturn string
function dialling.message(message, code)
  return MESSAGES[code] or message
end

require("websockets.loading").interpret(dialling.tls)

return dialling
