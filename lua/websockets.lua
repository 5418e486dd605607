--- WebSocket servers for Lua.
-- @module websockets
local context = require("websockets.context")
local credentials = require("websockets.http.credentials")
local engine = require("websockets.engine.loader")
local kinds = require("websockets.protocol.kinds")

local websockets = {
  --- The engine in use: `"native"` or `"pure"`.
  engine = engine.choose().name,

  --- Kinds of message for `ws:write`. They are numbers of the API of 2012, not opcodes.
  WRITE_TEXT = kinds.TEXT,
  WRITE_BINARY = kinds.BINARY,
  WRITE_CONTINUATION = kinds.CONTINUATION,
  WRITE_HTTP = kinds.HTTP,
  WRITE_CLOSE = kinds.CLOSE,
  WRITE_PING = kinds.PING,
  WRITE_PONG = kinds.PONG,
  --- Added to a kind: this is not the last fragment.
  WRITE_NO_FIN = kinds.NO_FIN,
  --- Added to a kind: accepted, without effect.
  WRITE_CLIENT_IGNORE_XOR_MASK = kinds.IGNORE_MASK,
  --- Added to a kind: do not compress this message.
  WRITE_NO_COMPRESSION = kinds.NO_COMPRESSION,

  --- Events of descriptors.
  POLLIN = 1,
  POLLOUT = 4,
  POLLERR = 8,
  POLLHUP = 16,

  --- Numbers for the option `options`.
  SERVER_OPTIONS_DEFEAT_CLIENT_MASK = 1,
  SERVER_OPTION_DEFEAT_CLIENT_MASK = 1,
  SERVER_OPTION_REQUIRE_VALID_OPENSSL_CLIENT_CERT = 2,
  SERVER_OPTION_SKIP_SERVER_CANONICAL_NAME = 4,
}

--- Makes a context, which serves a listening socket, clients and timers.
-- @tparam table options name -> value; see the README
-- @treturn context
-- @raise for a wrong or unknown option, naming it; `websocket could not create context: ` and the reason
function websockets.context(options)
  -- Not a tail call, because the level of an error counts this function.
  local made = context.new(options, 3)
  return made
end

--- Makes a handler for `on_http` that serves the files of a folder.
-- @tparam string root path of the folder
-- @tparam[opt] table settings see `websockets.files`
-- @treturn function
-- @raise if the folder does not exist, an option is wrong, or both the accelerator and lua-filesystem are missing
-- @see websockets.files
function websockets.files(root, settings)
  -- Loaded on first use: each garbage collection visits every loaded module.
  local handler = require("websockets.files").new(root, settings)
  return handler
end

--- Compares two strings in a time that depends only on their lengths.
-- @function websockets.constant_time_equal
-- @see websockets.http.credentials
websockets.constant_time_equal = credentials.constant_time_equal

return websockets
