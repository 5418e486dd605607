--- WebSocket servers and clients for Lua: the public names. What they give is described in `websockets.context`,
-- `websockets.websocket`, `websockets.blocking` (clients for scripts), `websockets.request`, `websockets.timer`,
-- `websockets.attachment`, `websockets.files`, `websockets.waiting.methods` (in coroutines), `websockets.metrics`,
-- `websockets.prometheus` and `websockets.errors`; all other modules are internal.
-- @module websockets
local context = require("websockets.context")
local credentials = require("websockets.http.credentials")
local engine = require("websockets.engine.loader")
local kinds = require("websockets.protocol.kinds")
local load = require("websockets.loading").load
local tasks = require("websockets.waiting.tasks")

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
-- @tparam table options name -> value; docs/server.md and docs/limits.md list them
-- @treturn context
-- @raise for a wrong or unknown option, naming it; `websocket could not create context: ` and the reason
function websockets.context(options)
  -- Not a tail call, because the level of an error counts this function.
  local made = context.new(options, 3)
  return made
end

--- Connects to a server and waits until the connection is open: a client for scripts. It blocks everything else in the
-- program; `context:connect` does not.
-- @tparam string url `ws://host:port/path?query`, `wss://…` or `ws+unix:/path/to/socket:/path`
-- @tparam[opt] table options those of `context:connect` (docs/client.md lists them), and `log` of `websockets.context`
-- @treturn[1] table ws see `websockets.blocking`
-- @treturn[2] nil
-- @treturn[2] string message
-- @treturn[2] string code `refused`, `unreachable`, `host`, `timeout`, `closed`, `certificate`, `tls`, `status`,
-- `handshake`, `redirect`, `proxy`, `limit` or `entropy`
-- @treturn[2] ?integer status of the server's answer, where one came, as with `status` and `redirect`
-- @treturn[2] ?table headers of that answer: lower-case name -> value
-- @treturn[2] ?string body of that answer, at most its first 64 KiB
-- @raise for a wrong URL, a wrong or unknown option
-- @see websockets.blocking
function websockets.connect(url, options)
  -- Loaded on first use. Not a tail call, because the level of an error counts this function.
  local ws, message, code, status, headers, body = load("websockets.blocking").connect(url, options, 3)
  if ws then return ws end
  return nil, message, code, status, headers, body
end

--- Makes a callback that may wait. Each call of it runs the function in a coroutine, in which `ws:receive`,
-- `ws:messages`, `ws:wait_open` and `websockets.sleep` suspend that function alone. docs/coroutines.md tells more.
-- @tparam function fn gets what the callback gets
-- @treturn function for `protocols`, `default`, `ws:on_open`, `on_http` and timers; or called with a context, it begins
-- at once. What `fn` raises goes to `on_error`. Where `fn` was called for a new connection, that is closed with 1000
-- when `fn` returns, and with 1011 when it raises
-- @raise for anything but a function
-- @see websockets.waiting.methods
function websockets.coroutine(fn)
  local callback = load("websockets.waiting.handler").new(fn, 3)
  return callback
end

--- Suspends the calling function of `websockets.coroutine`.
-- @function websockets.sleep
-- @tparam number seconds 0 or more; 0: until the next turn
-- @raise for anything but a finite number from 0; outside of such a function; `websocket context destroyed`
-- @see websockets.waiting.tasks
websockets.sleep = tasks.sleep

--- Makes a launcher of several processes that serve one port; needs luv.
-- @tparam table options name -> value; docs/workers.md lists them
-- @treturn workers
-- @raise for a wrong or unknown option; without luv; in a worker; `websocket could not create workers: ` and the reason
-- @see websockets.workers
function websockets.workers(options)
  -- Not a tail call, because the level of an error counts this function.
  local made = load("websockets.workers").new(options, 3)
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
  local handler = load("websockets.files").new(root, settings)
  return handler
end

--- Makes a handler for `on_http` that answers with the metrics of a context in the text format of Prometheus.
-- @tparam[opt] table measured context; nil: the one that the request comes to
-- @treturn function
-- @raise for anything but a context
-- @see websockets.prometheus
function websockets.prometheus(measured)
  -- Loaded on first use, as `files`.
  local handler = load("websockets.prometheus").new(measured)
  return handler
end

--- Compares two strings in a time that depends only on their lengths.
-- @function websockets.constant_time_equal
-- @tparam string a
-- @tparam string b
-- @treturn boolean whether they are equal
-- @raise if one is no string
-- @see websockets.http.credentials
websockets.constant_time_equal = credentials.constant_time_equal

return websockets
