--- The code words that say why something failed, and the errors that are raised for a caller's mistake.
-- @module websockets.errors
local errors = {}

--- Every code word that this library returns or passes to `on_closed`, with its meaning.
errors.WORDS = {
  away = "there is no connection at the moment, and what may wait for the next one has no room for this",
  certificate = "the server's certificate was refused",
  closed = "the connection has ended",
  closing = "the closing handshake has begun; nothing more can be sent",
  destroyed = "the context was destroyed",
  entropy = "the operating system gives no random bytes",
  error = "a callback raised an error, or memory was refused",
  fragment = "a continuation without a fragmented message, or another message inside one",
  full = "the peer does not read fast enough; nothing was queued",
  handshake = "the server's answer to the opening handshake breaks RFC 6455",
  host = "the host name cannot be resolved",
  idle = "no message was sent or received for idle_timeout",
  limit = "a limit is reached, of connections or of topics",
  protocol = "the peer broke a rule of RFC 6455",
  proxy = "the proxy cannot be reached, refused or failed",
  redirect = "the server redirects too often, or to where this client does not go",
  refused = "no program listens at the address",
  reset = "the operating system ended the connection",
  slow = "the peer did not read fast enough, so the connection was closed",
  status = "the server answered the opening handshake with another HTTP status than 101",
  tls = "TLS cannot be had here, its handshake failed, or the peer broke it",
  timeout = "no data or no answer came in time",
  too_big = "a message is larger than a limit",
  type = "this kind of message cannot be sent in this state",
  unavailable = "the back plane cannot be reached",
  unreachable = "the host cannot be reached",
  utf8 = "a text is not UTF-8",
}

local LEVEL_OF_CALLER = 3
local MAX_SHOWN_BYTES = 80

local NAMED = { ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t", ['"'] = '\\"', ["\\"] = "\\\\" }

local function escape(bytes)
  return NAMED[bytes] or bytes:gsub(".", function(one) return ("\\%03d"):format(one:byte()) end)
end

--- Makes one line of a text, of which a peer or a caller may have written a part: no byte of it ends the line or
-- controls a terminal.
-- @tparam string text
-- @treturn string
function errors.printable(text)
  -- U+0080 to U+009F, as UTF-8, control terminals too.
  return (text:gsub("%c", escape):gsub("\194[\128-\159]", escape))
end

--- Quotes a text for a message; it can be read back as Lua source.
-- @tparam string text
-- @treturn string one line
function errors.quote(text)
  return '"' .. errors.printable((text:gsub('["\\]', NAMED))) .. '"'
end

--- Describes a value for a message that says what to change: a number or string itself, of anything else the type.
-- @param value
-- @treturn string
function errors.describe(value)
  local kind = type(value)
  if kind == "number" or kind == "boolean" then return tostring(value) end
  if kind == "string" then
    return errors.quote(#value <= MAX_SHOWN_BYTES and value or value:sub(1, MAX_SHOWN_BYTES - 3) .. "...")
  end
  return value == nil and "no value" or kind
end

local describe = errors.describe

--- Describes one entry of a table.
-- @tparam table given
-- @param key
-- @treturn string
function errors.entry(given, key)
  return ("[%s] = %s"):format(describe(key), describe(given[key]))
end

--- Gives the level of the same caller, for a function that is called.
-- @tparam integer level as for `error`; 0: the message has no position, however deep it is raised
-- @treturn integer
function errors.deeper(level)
  return level > 0 and level + 1 or 0
end

--- Raises for a wrong option.
-- @tparam string name the option
-- @tparam string expected what is allowed
-- @param value that was given
-- @tparam[opt] integer level as for `error`
-- @tparam[opt] string culprit what is wrong inside the value, instead of its description
function errors.option(name, expected, value, level, culprit)
  error(("bad option '%s' (%s expected, got %s)"):format(name, expected, culprit or describe(value)),
    level or LEVEL_OF_CALLER)
end

--- Raises for a wrong argument of a public function.
-- @tparam integer position of the argument; the object of a method does not count
-- @tparam string name the function
-- @tparam string expected what is allowed
-- @param value that was given
-- @tparam[opt] integer level as for `error`
-- @tparam[opt] string culprit what is wrong with the value, instead of its description
function errors.argument(position, name, expected, value, level, culprit)
  error(("bad argument #%d to '%s' (%s expected, got %s)"):format(position, name, expected, culprit or describe(value)),
    level or LEVEL_OF_CALLER)
end

--- Raises if a method was called without its object, as by a dot in place of the colon.
-- @param object what the method got
-- @param field a key that every object of its kind has
-- @tparam string method `context:service`
-- @tparam[opt] integer level as for `error`
function errors.check_object(object, field, method, level)
  if type(object) == "table" and object[field] ~= nil then return end
  error(("%s must be called with a colon, on a %s (got %s)"):format(method, method:match("^%a+"), describe(object)),
    level or LEVEL_OF_CALLER)
end

--- Gives the address of an object, for its `__tostring`.
-- @tparam table object
-- @treturn string
function errors.address(object)
  local meta = getmetatable(object)
  setmetatable(object, nil)
  local text = tostring(object)
  setmetatable(object, meta)
  return (text:gsub("^table: ", ""))
end

return errors
