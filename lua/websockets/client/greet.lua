--- The step of a dial that makes it a WebSocket: the opening handshake. A redirect begins the dial anew; where the
-- server refuses, `refusal` follows.
-- @module websockets.client.greet
-- @rfc 6455 4.1
local answer = require("websockets.http.answer")
local compression = require("websockets.protocol.compression")
local connection = require("websockets.connection.connection")
local credentials = require("websockets.http.credentials")
local handshake = require("websockets.protocol.client_handshake")
local redirect = require("websockets.client.redirect")
local response = require("websockets.client.response")
local url = require("websockets.protocol.url")

local greet = {}

local sub = string.sub

local SWITCHING_PROTOCOLS = 101
local NOT_HTTP = "the server's answer is not HTTP"

--- Sends the request.
-- @tparam table dial
-- @tparam table ws
function greet.begin(dial, ws)
  local engine, settings = ws.context.engine, ws.settings
  local key, why, word = handshake.key(engine)
  if not key then return dial.fail(ws, why, word) end
  dial.work = { answer = answer.new(), accept_key = engine.accept_key(key) }
  local extensions = settings.compression and compression.offer(settings.compression)
  local place = dial.place
  local authorization = place.user and credentials.write_basic(place.user, place.password, engine.base64)
  ws.wire:raw(handshake.request(place, key, dial.given, extensions, authorization))
  ws.context.agenda:touch(ws)
end

local function open(dial, ws, read, leftover)
  local settings = ws.settings
  local is_good, why = handshake.check(read, dial.work.accept_key, settings.protocols or nil)
  if not is_good then return dial.fail(ws, why, "handshake") end
  local deflate
  deflate, why = compression.accept(settings.compression, read.headers["sec-websocket-extensions"])
  if deflate == nil then return dial.fail(ws, why, "handshake") end
  connection.open_client(ws, leftover, read.headers["sec-websocket-protocol"], deflate)
end

local function take_answer(dial, ws, head, rest)
  local read = answer.read(head)
  if not read then return dial.fail(ws, NOT_HTTP, "handshake") end
  response.keep(ws, head)
  ws.context.tally:answered("client", read.status)
  if read.status == SWITCHING_PROTOCOLS then return open(dial, ws, read, rest) end
  local place, second = redirect.follow(dial.place, read, dial.redirect_count, ws.settings.max_redirects)
  if place then
    dial.redirect_count = dial.redirect_count + 1
    return dial:start_again(ws, place, not second and redirect.without_secrets(dial.given) or nil)
  end
  local message = "the server answered " .. read.text
  if second then message = ("%s: %s"):format(message, second) end
  dial.refusal = { head = head, read = read, message = message, code = second and "redirect" or "status" }
  dial:next_step(ws, rest)
end

--- Takes bytes of the server's answer.
-- @tparam table dial
-- @tparam table ws
-- @tparam string bytes
function greet.feed(dial, ws, bytes)
  local head, after = dial.work.answer:feed(bytes, ws.settings)
  if head then return take_answer(dial, ws, head, sub(bytes, after)) end
  if head == false then dial.fail(ws, "the server's answer " .. after, "handshake") end
end

--- Takes note that the server ended the connection instead of answering.
-- @tparam table dial
-- @tparam table ws
function greet.ended(dial, ws)
  dial.fail(ws, url.label(dial.place) .. " ended the connection before it answered", "closed")
end

return greet
