--- WebSocket servers for Lua.
-- @module websockets
local context = require("websockets.context")
local credentials = require("websockets.http.credentials")
local engine = require("websockets.engine.loader")
local kinds = require("websockets.protocol.kinds")

local websockets = {
  --- Which engine is at work: `"native"` or `"pure"`.
  engine = engine.choose().name,

  --- Kinds of message for `ws:write`; these are the numbers of 2012, not opcodes.
  WRITE_TEXT = kinds.TEXT,
  WRITE_BINARY = kinds.BINARY,
  WRITE_CONTINUATION = kinds.CONTINUATION,
  WRITE_HTTP = kinds.HTTP,
  WRITE_CLOSE = kinds.CLOSE,
  WRITE_PING = kinds.PING,
  WRITE_PONG = kinds.PONG,
  --- To be added to a kind: this is not the last fragment.
  WRITE_NO_FIN = kinds.NO_FIN,
  --- Accepted and without effect.
  WRITE_CLIENT_IGNORE_XOR_MASK = kinds.IGNORE_MASK,
  --- To be added to a kind: this message is not to be compressed.
  WRITE_NO_COMPRESSION = kinds.NO_COMPRESSION,

  --- What a descriptor is ready for.
  POLLIN = 1,
  POLLOUT = 4,
  POLLERR = 8,
  POLLHUP = 16,

  --- Numbers for `options`.
  SERVER_OPTIONS_DEFEAT_CLIENT_MASK = 1,
  SERVER_OPTION_DEFEAT_CLIENT_MASK = 1,
  SERVER_OPTION_REQUIRE_VALID_OPENSSL_CLIENT_CERT = 2,
  SERVER_OPTION_SKIP_SERVER_CANONICAL_NAME = 4,
}

--- Makes a context: a server, or a room for clients.
-- @tparam table options see the README
-- @treturn context
-- @raise for a wrong or unknown option, naming it; `websocket could not create context: ` and the reason
function websockets.context(options)
  -- No tail call: the level of an error counts this function.
  local made = context.new(options, 3)
  return made
end

--- Makes a handler for `on_http` that serves the files of a folder.
-- @tparam string root path of the folder
-- @tparam[opt] table settings see `websockets.files`
-- @treturn function
-- @raise for a folder that is not there, a wrong option, and where nobody can be asked about files
-- @see websockets.files
function websockets.files(root, settings)
  -- Loaded when it is used: each collection passes over all that is there.
  local handler = require("websockets.files").new(root, settings)
  return handler
end

--- Compares two strings in a time that tells nothing about where they differ.
-- @function websockets.constant_time_equal
-- @see websockets.http.credentials
websockets.constant_time_equal = credentials.constant_time_equal

return websockets
