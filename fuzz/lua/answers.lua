--- Any answer of a server to the opening handshake of a client.
-- @module fuzz.lua.answers
-- @rfc 6455 4.1

local answers = require "websockets.http.answer"
local choices = require "fuzz.lua.choices"
local client_handshake = require "websockets.protocol.client_handshake"
local compression = require "websockets.protocol.compression"
local extension = require "websockets.protocol.extension"
local head_reader = require "websockets.http.head"

local LIMITS = { max_header_bytes = 2000, max_header_lines = 16, max_request_line_bytes = 500 }
local SWITCHING_PROTOCOLS = 101
local ACCEPT_KEY = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
local PROTOCOLS = { "chat", "superchat" }

-- The head of the answer and the position after it; nil while it is not whole, false where it cannot be one.
local function scan(pieces)
  local scanner, seen = head_reader.scanner(), 0
  for _, piece in ipairs(pieces) do
    local head, after = head_reader.scan(scanner, piece, 1, LIMITS)
    if head then return head, seen + after end
    if head == false then return false end
    seen = seen + #piece
  end
  return nil
end

local function check_window(window)
  if not window then return end
  assert(window.window_bits >= 9 and window.window_bits <= 15, "a window that zlib has not")
end

-- RFC 7692 7.1: the server may choose nothing that was not offered.
local function check_agreed(settings, value, agreed)
  local list = assert(extension.parse(value))
  assert(settings and #list == 1 and list[1].name == "permessage-deflate")
  check_window(agreed.deflate)
  check_window(agreed.inflate)
  local seen = {}
  for _, one in ipairs(list[1].parameters) do
    assert(not seen[one.name], "a parameter that is repeated")
    seen[one.name] = one.value or true
  end
  assert(settings.server_max_window_bits == 15
    or tonumber(seen.server_max_window_bits) <= settings.server_max_window_bits)
  assert(tonumber(seen.client_max_window_bits or 8) <= settings.client_max_window_bits)
  assert(not settings.server_no_context_takeover or seen.server_no_context_takeover)
end

-- What the client makes of the answer: a word, the position after it, and what was agreed about compression.
local function judge(pieces, settings, protocols)
  local head, after = scan(pieces)
  if head == nil then return "unfinished" end
  if not head then return "handshake" end
  assert(head:sub(-4) == "\r\n\r\n")
  local answer = answers.read(head)
  if not answer then return "handshake" end
  assert(not answer.text:find("[^\32-\126]"), answer.text)
  if answer.status ~= SWITCHING_PROTOCOLS then return "status" end
  local is_good, why = client_handshake.check(answer, ACCEPT_KEY, protocols)
  if not is_good then
    assert(type(why) == "string" and not why:find("[^\32-\126]"), why)
    return "handshake"
  end
  assert(head:find("^HTTP/1%.[1-9] 101") and head:find(ACCEPT_KEY, 1, true))
  local value = answer.headers["sec-websocket-extensions"]
  local agreed
  agreed, why = compression.accept(settings, value)
  if agreed == nil then
    assert(type(why) == "string")
    return "handshake"
  end
  if agreed then check_agreed(settings, value, agreed) end
  return "open", after, agreed
end

return function(data)
  local choice = choices.new(data)
  local settings = choice:flag() and choice:compression()
  local protocols = choice:flag() and PROTOCOLS or nil
  local pieces = choice:pieces()
  local word, after, agreed = judge(pieces, settings, protocols)
  local same_word, same_after, same = judge({ table.concat(pieces) }, settings, protocols)
  assert(word == same_word and after == same_after and agreed == same, "cut otherwise, it is something else")
end
