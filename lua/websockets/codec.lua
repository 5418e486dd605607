--- WebSocket without sockets, for code that carries the bytes of a connection by itself: a session turns bytes into
-- events and messages into bytes. The rules are those of `websockets.context`. Nothing here waits, and nothing raises
-- for what a peer sends. docs/codec.md shows a program.
-- @classmod websockets.codec
local answer_of = require("websockets.http.answer")
local client_handshake = require("websockets.protocol.client_handshake")
local close_codes = require("websockets.engine.close")
local definition = require("websockets.options.definition")
local engine = require("websockets.engine.loader").choose()
local errors = require("websockets.errors")
local handshake = require("websockets.protocol.handshake")
local header = require("websockets.engine.pure.header")
local http = require("websockets.http.head")
local mask = require("websockets.engine.pure.mask")
local rules = require("websockets.protocol.session")
local sha1 = require("websockets.engine.pure.sha1")

local codec = {
  --- Opcodes of RFC 6455 5.2. They are other numbers than the `WRITE_*` of the API of 2012.
  CONTINUATION = 0, TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10,
}

local byte, sub = string.byte, string.sub
local CLOSE, TEXT = codec.CLOSE, codec.TEXT
local MAX_CONTROL_BYTES, KEY_BYTES, SWITCHING_PROTOCOLS = 125, 4, 101
local HEAD_LIMITS = { max_header_bytes = 32768, max_request_line_bytes = 8192, max_header_lines = 256 }
local MASKED, UNMASKED = "client", "server"

local OPTIONS = {
  role = definition.new(nil, function(value) return value == MASKED or value == UNMASKED end, '"client" or "server"'),
  max_message_bytes = definition.count(16 * 1024 * 1024, 1, "bytes above 0"),
  max_fragments = definition.count(1024, 1, "fragments above 0"),
}

local session = {}
session.__index = session

local function want(position, name, is_good, expected, value)
  if not is_good then errors.argument(position, name, expected, value, 4) end
end

local function want_string(position, name, value)
  if type(value) ~= "string" then errors.argument(position, name, "string", value, 4) end
  return value
end

--- Makes a session: one side of a connection, after the opening handshake.
-- @tparam table options `role`: ours, `"client"` or `"server"`; `max_message_bytes` (16 MiB); `max_fragments` (1,024)
-- @treturn codec session
-- @raise for a wrong or unknown option
function codec.session(options)
  if type(options) ~= "table" then errors.argument(1, "session", "table of options", options) end
  local settings = definition.defaults(OPTIONS)
  for name, value in pairs(options) do settings[name] = definition.check(OPTIONS, name, value, 3) end
  if not settings.role then errors.option("role", OPTIONS.role.expected, nil) end
  return setmetatable({
    reader = engine.reader(settings), writer = engine.writer({ role = settings.role }), batch = {}, said_close = false,
  }, session)
end

-- The bytes of our close frame; false where it has been said.
local function say_close(self, payload)
  if self.said_close then return false end
  self.said_close = true
  return self.writer:encode(CLOSE, payload) or false
end

-- What one message, control frame or breach of the peer's leads to; nil for nothing.
local function event_of(self, opcode, payload)
  local kind, first, second, third = rules.receive(not self.said_close, opcode, payload)
  if kind == "message" then return { kind = kind, payload = first, opcode = opcode } end
  if kind == "pong" then return { kind = kind, payload = first } end
  if kind == "answer" then return { kind = "send", bytes = self.writer:encode(first, second) } end
  if kind == "close" then
    return { kind = "closed", code = first.code, reason = first.reason, clean = true, bytes = say_close(self, second) }
  end
  if kind == "fail" then
    local bytes = say_close(self, rules.close_payload(first))
    return { kind = "closed", code = first, reason = second, clean = false, why = third, bytes = bytes }
  end
end

--- Takes bytes of the peer, cut anywhere.
-- @tparam string bytes
-- @treturn {table,...} events in their order. `kind` is `"message"` (`payload`, `opcode`), `"pong"` (`payload`),
-- `"send"` (`bytes`: the answer to a ping), or at last `"closed"`: the peer's close frame, or a rule that it broke
-- (`code`, `reason`, `clean`, `why` for a breach, `bytes`: our close frame, false where it was said before)
-- @raise for anything but a string
function session:receive(bytes)
  want_string(1, "receive", bytes)
  local reader, batch, events, again = self.reader, self.batch, {}, true
  while again == true do
    local count
    count, again = reader:feed(bytes, batch)
    for i = 1, count do
      events[#events + 1] = event_of(self, batch[2 * i - 1], batch[2 * i])
      batch[2 * i] = nil
    end
    bytes = ""
  end
  return events
end

--- Makes the bytes of a whole message, a ping or a pong.
-- @tparam string payload
-- @tparam[opt=TEXT] integer opcode TEXT, BINARY, PING or PONG
-- @treturn[1] string bytes
-- @treturn[2] nil
-- @treturn[2] string message
-- @treturn[2] string `closing` after our close frame; `utf8`; `type` for another opcode, or for more than 125 bytes in
-- a control frame; `entropy`
-- @raise for a payload that is not a string
function session:send(payload, opcode)
  want_string(1, "send", payload)
  opcode = opcode or TEXT
  local code
  if self.said_close then
    code = "closing"
  elseif opcode ~= TEXT and opcode ~= codec.BINARY and opcode ~= codec.PING and opcode ~= codec.PONG
    or opcode > CLOSE and #payload > MAX_CONTROL_BYTES then
    code = "type"
  elseif not rules.may_send(opcode, payload, engine.valid_utf8) then
    code = "utf8"
  end
  if code then return nil, errors.WORDS[code], code end
  return self.writer:encode(opcode, payload)
end

--- Makes the bytes of our close frame.
-- @tparam[opt] integer code 1000-1003, 1007-1014 or 3000-4999; none: a frame without code
-- @tparam[opt=""] string reason at most 123 bytes of UTF-8
-- @treturn[1] string bytes
-- @treturn[2] nil
-- @treturn[2] string message
-- @treturn[2] string `closing`: it has been made before; `entropy`
-- @raise for a code that may not be sent, or a reason that is not UTF-8 or too long
function session:close(code, reason)
  want(1, "close", code == nil or codec.may_close(code), "close code 1000-1003, 1007-1014 or 3000-4999", code)
  want(2, "close", code == nil or codec.may_close(code, reason), "reason of at most 123 bytes of UTF-8", reason)
  if self.said_close then return nil, errors.WORDS.closing, "closing" end
  local bytes = say_close(self, rules.close_payload(code, reason))
  if bytes then return bytes end
  return nil, errors.WORDS.entropy, "entropy"
end

--- Tells whether a close frame may carry a code and a reason.
-- @rfc 6455 7.4
-- @param code
-- @param[opt] reason
-- @treturn boolean
function codec.may_close(code, reason)
  return close_codes.may_send(code) and (reason == nil or not rules.reason_fault(reason, engine.valid_utf8))
end

--- Tells whether bytes are UTF-8.
-- @tparam string bytes
-- @treturn boolean
function codec.is_utf8(bytes) return engine.valid_utf8(want_string(1, "is_utf8", bytes)) end

--- Encodes one frame, whatever a session would say to it.
-- @rfc 6455 5.2
-- @tparam integer opcode
-- @tparam string payload
-- @tparam[opt=false] boolean is_masked with random bytes of the operating system
-- @tparam[opt=true] boolean fin
-- @treturn[1] string bytes
-- @treturn[2] nil
-- @treturn[2] string message
-- @treturn[2] string `entropy`
-- @raise for an opcode that is not 0 to 15, or a payload that is not a string
function codec.encode(opcode, payload, is_masked, fin)
  if not definition.is_integer(opcode, 0, 15) then errors.argument(1, "encode", "opcode 0 to 15", opcode) end
  want_string(2, "encode", payload)
  return engine.writer({ role = is_masked and MASKED or UNMASKED }):encode(opcode, payload, fin)
end

--- Decodes one frame and judges nothing in it.
-- @rfc 6455 5.2
-- @tparam string bytes
-- @tparam[opt=1] integer position of the frame's first byte; at most one after the bytes, where nothing is left
-- @treturn[1] string payload, unmasked
-- @treturn[1] boolean fin
-- @treturn[1] integer opcode
-- @treturn[1] integer position after the frame
-- @treturn[1] boolean whether it was masked
-- @treturn[2] nil it is not whole
-- @treturn[2] number how many bytes are missing at least
-- @raise for bytes that are no string, or a position that is not in them
function codec.decode(bytes, position)
  want_string(1, "decode", bytes)
  if position == nil then position = 1 end
  want(2, "decode", definition.is_integer(position, 1, #bytes + 1), "position 1 to " .. #bytes + 1, position)
  local first, is_masked, start, length = header.measure(bytes, position)
  if not first then return nil, is_masked - (#bytes - position + 1) end
  local key = start
  if is_masked then start = start + KEY_BYTES end
  local stop = start + length - 1
  if stop > #bytes then return nil, stop - #bytes end
  local payload = is_masked and mask.range(bytes, start, stop, byte(bytes, key, key + KEY_BYTES - 1))
    or sub(bytes, start, stop)
  return payload, first >= 128, first % 16, stop + 1, is_masked
end

--- Tells how long the first frame of some bytes is, by its header.
-- @rfc 6455 5.2
-- @tparam string bytes
-- @treturn[1] number bytes of the frame, header included
-- @treturn[2] nil the header is not whole
-- @treturn[2] number how many bytes the frame has at least
function codec.frame_bytes(bytes)
  local first, is_masked, start, length = header.measure(want_string(1, "frame_bytes", bytes), 1)
  if not first then return nil, is_masked end
  return start - 1 + (is_masked and KEY_BYTES or 0) + length
end

-- Adds the empty line that ends a head, if it is missing. Programs that read a head line by line leave it out.
local function whole_head(head)
  return sub(head, -4) == "\r\n\r\n" and head or head:gsub("[\r\n]*$", "") .. "\r\n\r\n"
end

local function refuse(status, headers)
  local answer = http.plain_answer(status, definition.copy(headers or {}))
  return nil, status, http.response_head(status, answer.headers, #answer.body, "close") .. answer.body
end

--- Answers an opening handshake.
-- @rfc 6455 4.2
-- @tparam string head of the request; its last empty line may be missing
-- @tparam ?{string,...} protocols that are served
-- @treturn[1] string bytes of the answer
-- @treturn[1] ?string subprotocol: the first of the client's that is served
-- @treturn[2] nil
-- @treturn[2] integer status 400, 405 or 426 …
-- @treturn[2] string bytes of the refusal
function codec.accept(head, protocols)
  local found = http.scan(http.scanner(), whole_head(want_string(1, "accept", head)), 1, HEAD_LIMITS)
  if protocols ~= nil and type(protocols) ~= "table" then errors.argument(2, "accept", "list of names", protocols) end
  if not found then return refuse(400) end
  local request, status = http.parse(found)
  if not request then return refuse(status) end
  if not http.asks_for(request, "websocket") then return refuse(400) end
  local is_good, fault, headers = handshake.check(request)
  if not is_good then return refuse(fault, headers) end
  local offered
  offered, status = handshake.subprotocols(request)
  if not offered then return refuse(status) end
  local served = {}
  for _, name in ipairs(protocols or {}) do served[name] = true end
  local _, name = handshake.choose(offered, served)
  return handshake.accept(engine, request, name), name
end

--- Checks the answer to an opening handshake.
-- @rfc 6455 4.1
-- @tparam string head of the answer; its last empty line may be missing
-- @tparam string key that was sent
-- @tparam ?{string,...} protocols that were offered
-- @treturn[1] table headers: lower-case name -> value
-- @treturn[2] nil
-- @treturn[2] string message
-- @treturn[2] string `status` or `handshake`
-- @treturn[2] ?table headers
function codec.check_answer(head, key, protocols)
  local read = answer_of.read(whole_head(want_string(1, "check_answer", head)))
  local expected = engine.accept_key(want_string(2, "check_answer", key))
  want(3, "check_answer", protocols == nil or type(protocols) == "table", "list of names", protocols)
  if not read then return nil, "the server's answer is not HTTP", "handshake" end
  if read.status ~= SWITCHING_PROTOCOLS then return nil, "the server answered " .. read.text, "status", read.headers end
  local is_good, why = client_handshake.check(read, expected, protocols)
  if is_good then return read.headers end
  return nil, why, "handshake", read.headers
end

--- Makes the key of an opening handshake.
-- @rfc 6455 4.1
-- @treturn[1] string
-- @treturn[2] nil
-- @treturn[2] string message
-- @treturn[2] string `entropy`
function codec.key() return client_handshake.key(engine) end

--- Computes the value of Sec-WebSocket-Accept.
-- @rfc 6455 4.2.2
-- @tparam string key
-- @treturn string
function codec.accept_key(key) return engine.accept_key(want_string(1, "accept_key", key)) end

--- Computes the SHA-1 of bytes, for protocols that ask for it; it protects nothing.
-- @tparam string bytes
-- @treturn string twenty bytes
function codec.sha1(bytes) return sha1(want_string(1, "sha1", bytes)) end

--- Encodes bytes in Base64.
-- @tparam string bytes
-- @treturn string
function codec.base64(bytes) return engine.base64(want_string(1, "base64", bytes)) end

require("websockets.loading").interpret(codec.session)

return codec
