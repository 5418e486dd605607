--- An HTTP request as the application sees it, and the application's decision about the opening handshake.
-- @classmod websockets.request
local connection = require("websockets.connection.connection")
local credentials = require("websockets.http.credentials")
local entry = require("websockets.turn.entry")
local errors = require("websockets.errors")
local http = require("websockets.http.head")
local upgrade = require("websockets.server.upgrade")
local uri = require("websockets.http.uri")

local request = {}
request.__index = request

-- The connection stands under a key that no field of the application's can have.
local CONNECTION = {}

local function read_cookies(header)
  local cookies = {}
  for pair in (header or ""):gmatch("[^;]+") do
    local mark = pair:find("=", 1, true)
    local name = mark and pair:sub(1, mark - 1):match("^[ \t]*([^ \t]+)[ \t]*$")
    -- RFC 6265 5.4: of one name, what belongs to the longer path comes first.
    if name and cookies[name] == nil then
      local from = pair:find("[^ \t]", mark + 1)
      cookies[name] = from and pair:sub(from):match("^(.*[^ \t])") or ""
    end
  end
  return cookies
end

local function read_params(ws, path)
  local router = ws.context.settings.router
  local match = router and router:match(path)
  return match and match.params or {}
end

local function scheme_of(ws)
  local told = ws.forwarded and ws.forwarded.scheme
  if told then return told end
  local transport = ws.wire.transport
  return transport and transport.facts and "https" or "http"
end

local function build(ws, head)
  local parsed = http.parse(head, true)
  local path, query = uri.split(parsed.uri)
  local first, list = uri.read_query(query)
  return setmetatable({
    method = parsed.method, uri = parsed.uri, path = path, query = first, query_list = list,
    headers = parsed.headers, fields = parsed.fields, cookies = read_cookies(parsed.headers.cookie),
    params = read_params(ws, path), ip = connection.client(ws), scheme = scheme_of(ws),
    host = ws.forwarded and ws.forwarded.host or parsed.headers.host, [CONNECTION] = ws,
  }, request)
end

--- Gives the request that is due, or the one that opened the WebSocket. It is read when first asked for: until then a
-- connection keeps the bytes of its head and nothing else.
-- @tparam table ws
-- @treturn ?request nil between two requests
function request.of(ws)
  local exchange = ws.phase
  if exchange then
    if exchange.request and not exchange.shown then exchange.shown = build(ws, exchange.head) end
    return exchange.shown or nil
  end
  if type(ws.head) == "string" then ws.head = build(ws, ws.head) end
  return ws.head or nil
end

--- Reads the credentials of the Basic scheme.
-- @treturn[1] string user
-- @treturn[1] string password
-- @treturn[2] nil the request has none
-- @rfc 7617 2
function request:basic_credentials()
  errors.check_object(self, CONNECTION, "request:basic_credentials")
  return credentials.basic(self.headers.authorization, self[CONNECTION].context.engine.unbase64)
end

--- Reads the token of the Bearer scheme.
-- @treturn ?string token; nil if the request has none, or a malformed one
-- @rfc 6750 2.1
function request:bearer_token()
  errors.check_object(self, CONNECTION, "request:bearer_token")
  return credentials.bearer(self.headers.authorization)
end

local function decide(self, work, ...)
  local ws = self[CONNECTION]
  local why = upgrade.undecided(ws, self)
  if why then return nil, why, "closed" end
  entry.within(ws.context, work, ws, ...)
  return true
end

--- Lets the client in, after `on_handshake` has returned `"later"`.
-- @tparam[opt] table answer `protocol` (one that the client offered and `protocols` has; false for none), `headers`
-- of the answer, `user` (becomes `ws.user`)
-- @treturn[1] boolean true
-- @treturn[2] nil
-- @treturn[2] string message
-- @treturn[2] string `closed`: the client has gone, waited too long, or has its answer
-- @raise for an answer that cannot be given; outside of a turn also what the connect callback raises
function request:accept(answer)
  errors.check_object(self, CONNECTION, "request:accept")
  upgrade.check_answer(self[CONNECTION], answer, "accept", 1, 3)
  return decide(self, upgrade.accept, answer)
end

--- Turns the client away, after `on_handshake` has returned `"later"`.
-- @tparam[opt=403] integer status 300 to 599
-- @tparam[opt] table headers name -> value or list of values
-- @tparam[opt] string body
-- @treturn[1] boolean true
-- @treturn[2] nil
-- @treturn[2] string message
-- @treturn[2] string `closed`: the client has gone, waited too long, or has its answer
-- @raise for a status, header or body that cannot be sent
function request:refuse(status, headers, body)
  errors.check_object(self, CONNECTION, "request:refuse")
  upgrade.check_refusal(status, headers, body, "refuse", 1, 3)
  return decide(self, upgrade.refuse, status, headers, body)
end

return request
