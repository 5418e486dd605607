--- Any requests of a client, one after the other: heads, bodies, targets.
-- @module fuzz.lua.http
-- @rfc 9112

local body_reader = require "websockets.http.body"
local choices = require "fuzz.lua.choices"
local origin = require "websockets.protocol.origin"
local head_reader = require "websockets.http.head"
local uri = require "websockets.http.uri"

local LIMITS = { max_header_bytes = 1000, max_header_lines = 16, max_request_line_bytes = 300 }
local MAX_BODY_BYTES = 500
local STATUSES = { [400] = true, [413] = true, [414] = true, [431] = true, [501] = true, [505] = true }

-- A head that breaks two rules: which of them is seen first depends on where it is cut.
local HEAD_REFUSED = { [400] = true, [414] = true, [431] = true }

local function check_target(target)
  local path, query = uri.split(target)
  assert(not target:find("[^\33-\126]") and #path + #query <= #target)
  for _, segment in ipairs(uri.segments(path) or {}) do
    assert(segment ~= "." and segment ~= ".." and not segment:find("\0", 1, true), "a segment that must not be")
  end
  local first, list = uri.read_query(query)
  for _, pair in ipairs(list) do assert(first[pair[1]] ~= nil) end
end

local function check_request(request)
  assert(request.method:find("^[%w!#$%%&'*+.^_`|~-]+$"))
  check_target(request.uri)
  for name, value in pairs(request.headers) do
    assert(name:find("^[%w!#$%%&'*+.^_`|~-]+$") and name == name:lower(), "a field name that is no token")
    assert(not value:find("[%z\1-\8\10-\31\127]") and not value:find("^[ \t]"), "a field value that must not be")
  end
  assert(request.minor == 0 or request.headers.host)
  assert(not (request.chunked and request.headers["content-length"]), "a body with two lengths")
  assert(request.length >= 0 and request.length % 1 == 0)
  head_reader.asks_for(request, "websocket")
  origin.allows(nil, request)
end

-- Serves a connection. Gives a line for each request, the last may be a status.
local function serve(pieces)
  local scanner, body, log = head_reader.scanner(), nil, {}
  for _, piece in ipairs(pieces) do
    local at = 1
    while at <= #piece do
      if not body then
        local head, after = head_reader.scan(scanner, piece, at, LIMITS)
        if head == nil then break end
        if not head then log[#log + 1] = after return log end
        local request, status = head_reader.parse(head, true)
        if not request then log[#log + 1] = status return log end
        check_request(request)
        log[#log + 1], at = request.method .. " " .. request.uri, after
        body, status = body_reader.new(request, MAX_BODY_BYTES)
        if not body then log[#log + 1] = status return log end
      end
      local bytes, after = body:feed(piece, at)
      if bytes == nil then break end
      if not bytes then log[#log + 1] = after return log end
      assert(#bytes <= MAX_BODY_BYTES, "a body above its limit")
      log[#log + 1], at, body = bytes, after, nil
    end
  end
  return log
end

return function(data)
  local pieces = choices.new(data):pieces()
  local log, whole = serve(pieces), serve({ table.concat(pieces) })
  for index = 1, math.max(#log, #whole) do
    local one, other = log[index], whole[index]
    assert(type(one) ~= "number" or STATUSES[one], one)
    assert(type(other) ~= "number" or STATUSES[other], other)
    assert(one == other or HEAD_REFUSED[one] and HEAD_REFUSED[other], "cut otherwise, it is something else")
  end
end
