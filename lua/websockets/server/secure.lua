--- TLS on the server: its certificates, and the phase of a connection until its TLS handshake is done.
-- @module websockets.server.secure
local connection = require("websockets.connection.connection")
local descriptor = require("websockets.connection.descriptor")
local http = require("websockets.http.head")
local lifecycle = require("websockets.connection.lifecycle")
local luasec = require("websockets.transport.luasec")
local tls_context = require("websockets.transport.tls_context")

local secure = {
  -- Nobody has asked for anything yet.
  stage = "tls", request = false, head = false, shown = false,
}
secure.__index = secure

local PLAIN_BODY = "This port speaks TLS, and plain HTTP has come. Use https:// or wss://.\n"

--- Loads what the settings name.
-- @tparam table settings of `websockets.options.tls`
-- @treturn[1] table certificates for `secure.wrap`
-- @treturn[2] nil
-- @treturn[2] string message
-- @treturn[2] string `tls`
function secure.load(settings)
  local context, names, code = tls_context.server(settings)
  if not context then return nil, names, code end
  return { context = context, names = names }
end

--- Puts TLS on an accepted socket.
-- @tparam userdata socket LuaSocket object; has no descriptor afterwards
-- @tparam table certificates of `secure.load`
-- @tparam ?handshakes queue
-- @treturn[1] luasec
-- @treturn[2] nil the socket is as it was
-- @treturn[2] string message
function secure.wrap(socket, certificates, queue)
  return luasec.new(socket, certificates.context, { names = certificates.names, queue = queue })
end

--- Makes the phase of a connection whose TLS handshake may not be done.
-- @tparam exchange exchange the phase that comes after it
-- @tparam[opt] handshakes queue where its steps wait for their turn
-- @treturn secure
function secure.new(exchange, queue)
  return setmetatable({ exchange = exchange, queue = queue or false }, secure)
end

local function log(ws, message)
  -- Unknown where the peer has reset the connection.
  local ip = connection.peer(ws)
  ws.context.agenda:log("info", ("TLS handshake%s failed: %s"):format(ip ~= "" and " with " .. ip or "", message))
end

--- Takes the first bytes after the TLS handshake, or none where it goes on.
-- @tparam table ws
-- @tparam string bytes
function secure:feed(ws, bytes)
  if bytes == "" and not ws.wire.transport.is_secure then return self.queue and self.queue:follow(ws) end
  ws.phase = self.exchange
  ws.phase:feed(ws, bytes)
end

--- Takes note that the peer has gone.
-- @tparam secure _
-- @tparam table ws
function secure.ended(_, ws)
  log(ws, ws.wire.transport.message)
  lifecycle.abort(ws, "closed")
end

--- Takes note that the TLS handshake has failed. The peer is given time to read why: an alert of TLS, or, where it has
-- sent HTTP without TLS, an answer.
-- @tparam secure _
-- @tparam table ws
-- @tparam string why
-- @tparam ?string message
function secure.failed(_, ws, why, message)
  log(ws, message or why)
  if why ~= "tls" then return lifecycle.abort(ws, why) end
  local plain, is_http = ws.wire.transport:unwrap()
  ws.wire:exchange(plain)
  if is_http then
    ws.wire:raw(http.response_head(400, { ["Content-Type"] = "text/plain" }, #PLAIN_BODY, "close") .. PLAIN_BODY)
  end
  lifecycle.finish(ws)
  ws.context.agenda:touch(ws)
end

--- Goes on where the socket takes bytes again.
-- @tparam table ws
function secure:flushed(ws)
  local done, why, message = ws.wire.transport:handshake()
  if done then
    ws.context.agenda:again(ws)
  elseif why == "timeout" then
    descriptor.follow(ws)
    if self.queue then self.queue:follow(ws) end
  elseif why == "closed" then
    self:ended(ws)
  else
    self:failed(ws, why, message)
  end
end

--- Gives back what is held: nothing.
function secure.release() end

return secure
