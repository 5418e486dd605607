--- What the specs of compressed connections share.
-- @module spec.support.compressed
local client = require("spec.support.client")
local engine = require("websockets.engine.loader").choose()
local server = require("spec.support.server")

local compressed = {
  --- An offer of permessage-deflate that lets the server keep its context.
  OFFER = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n",
  --- A text that compresses to few bytes.
  TEXT = ('{"name": "value", "list": [1, 2, 3]}, '):rep(100),
  --- The first byte of a compressed text message of one frame.
  PACKED_TEXT = 0xC1,
}

--- Whether this engine can compress here.
-- @treturn boolean
function compressed.is_available()
  return engine.can_compress ~= nil and engine.can_compress() == true
end

--- Start a server whose subprotocol "a" is recorded.
-- @tparam[opt] table options of `websockets.context`
-- @tparam[opt] function also called with each ws
-- @treturn table server
-- @treturn table log, see `spec.support.server.recorder`
function compressed.start(options, also)
  local handler, log = server.recorder(also)
  local all = { protocols = { a = handler } }
  for name, value in pairs(options or {}) do all[name] = value end
  return server.start(all), log
end

--- Open a connection that offers compression.
-- @tparam table s server
-- @tparam[opt=OFFER] string headers
-- @tparam[opt="a"] string protocol
-- @treturn table client
function compressed.open(s, headers, protocol)
  return client.open(s, { protocol = protocol or "a", headers = headers or compressed.OFFER })
end

--- Read one frame as it came.
-- @tparam table c client
-- @treturn number its first byte
-- @treturn string its payload
function compressed.read_frame(c)
  local first, length = c:read(2):byte(1, 2)
  if length == 126 then
    local high, low = c:read(2):byte(1, 2)
    length = high * 256 + low
  end
  return first, c:read(length)
end

return compressed
