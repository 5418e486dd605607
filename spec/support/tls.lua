--- What specs of TLS share: tests that need LuaSec and openssl, and pairs of connected sockets.
-- @module spec.support.tls

local certificates = require "spec.support.certificates"
local lent = require "websockets.transport.lent"
local luasec = require "websockets.transport.luasec"
local needs = require "spec.support.needs"
local server = require "spec.support.server"
local socket = require "socket"
local tls_context = require "websockets.transport.tls_context"

local tls = {}

local DEADLINE_SECONDS = 20

--- Names what this machine lacks for TLS.
-- @tparam string ... further things that are needed, as `needs.reason` knows them
-- @treturn ?string the reason to skip
function tls.lack(...)
  return not pcall(require, "ssl") and "needs LuaSec" or needs.reason("openssl", ...)
end

--- Makes an `it` that skips what this machine cannot do.
-- @tparam function it of busted
-- @tparam function pending of busted
-- @tparam string ... further things that are needed
-- @treturn function `it(text, work)`
function tls.test(it, pending, ...)
  local reason = tls.lack(...)
  return function(text, work)
    it(text, function()
      if reason then return pending(reason) end
      work()
    end)
  end
end

--- Connects two sockets over the loopback interface.
-- @treturn userdata one that has connected
-- @treturn userdata one that was accepted
function tls.sockets()
  local listener = assert(socket.bind("127.0.0.1", 0))
  listener:settimeout(DEADLINE_SECONDS)
  local ip, port = listener:getsockname()
  local one = assert(socket.connect(ip, port))
  local other = assert(listener:accept())
  listener:close()
  return one, other
end

-- What `spec.support.client` uses of a LuaSocket object, over TLS.
local connection = {}
connection.__index = connection

function connection:receive()
  local bytes, why = self.transport:receive()
  return nil, bytes and "timeout" or why, bytes or ""
end

function connection:send(bytes, from)
  local done, why, upto = self.transport:send(bytes, from or 1)
  if done then return #bytes end
  return nil, why, upto - 1
end

function connection:close() self.transport:close() end

function connection:setoption(...) return lent.call(self.transport:getfd(), "setoption", ...) end

--- Puts a client's TLS on a connected socket.
-- @tparam userdata plain LuaSocket object
-- @tparam[opt] table|userdata settings of `tls_context.client`, or a LuaSec context; without them it trusts any server
-- @tparam[opt] table options of `luasec.new`
-- @treturn table what `spec.support.client` uses of a LuaSocket object; `transport`
function tls.wrap(plain, settings, options)
  local context = type(settings) == "userdata" and settings or assert(tls_context.client(settings or {}))
  return setmetatable({ transport = assert(luasec.new(plain, context, options)) }, connection)
end

--- Gives what sends bytes beside TLS, on the descriptor of a client's connection.
-- @tparam luasec transport
-- @treturn table `send(bytes)`; `setoption`, as for LuaSocket; `close()`: FIN without close_notify, or a reset where
-- `setoption` has asked for it
function tls.lend(transport)
  local made, linger = {}, nil
  function made.send(_, bytes) return lent.call(transport:getfd(), "send", bytes) end
  function made.setoption() linger = 0 end
  function made.close()
    if linger then return transport:close(linger) end
    lent.call(transport:getfd(), "shutdown", "send")
  end
  return made
end

--- Starts a server that speaks TLS, with the certificate `good` where nothing else is given. The clients of
-- `spec.support.client` speak it too, as `server.client_tls` and `server.client_options` say.
-- @tparam table options of `websockets.context`
-- @tparam[opt] function start of `spec.support.loops`
-- @treturn table server
-- @return what else `start` gives
function tls.server(options, start)
  local all = { tls = certificates.pair("good") }
  for name, value in pairs(options) do all[name] = value end
  local self, watched = (start or server.start)(all)
  self.secure = function(plain) return tls.wrap(plain, self.client_tls, self.client_options) end
  return self, watched
end

return tls
