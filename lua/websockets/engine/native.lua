--- The engine of the accelerator: what `websockets.engine.pure` does, in Rust.
-- @module websockets.engine.native
local base64 = require("websockets.engine.pure.base64")
local new_budget = require("websockets.engine.budget").new
local core = require("websockets_native")

-- What this library calls in the accelerator: `INTERFACE` in native/calls/mod.rs is the same number.
local INTERFACE = 2

local built = core.interface and core.interface() or "none"
if built ~= INTERFACE then
  error(("the accelerator was built from other sources (interface %s, this library needs %d): run `make native` again, "
    .. "or install the rock again"):format(built, INTERFACE), 0)
end

local byte, sub = string.byte, string.sub
local encode, utf8_next = core.encode, core.utf8_next
local feed, unfinished, release = core.feed, core.unfinished, core.release

local native = {
  --- Which engine this is: `native`.
  name = "native",
}

local BINARY = 2
-- As in `websockets.engine.pure.reader`.
local UNFINISHED = 0

--- Tells whether messages can be compressed here.
-- @treturn boolean true
function native.can_compress()
  return true
end

local function new_codec(options, threshold)
  return core.codec({
    window_bits = options.window_bits, level = options.level, no_context_takeover = options.no_context_takeover,
    threshold = threshold,
  })
end

local Deflater = {}
Deflater.__index = Deflater

--- Makes a deflater; see `websockets.engine.pure.deflate`.
-- @tparam table options `window_bits` 9 to 15, `level` 1 to 9, `no_context_takeover`
-- @treturn table
function native.deflater(options)
  return setmetatable({ core = new_codec(options, 0) }, Deflater)
end

--- Compresses a message.
-- @tparam string bytes
-- @treturn string
-- @rfc 7692 7.2.1
function Deflater:deflate(bytes)
  local frame = encode(false, BINARY, bytes, true, false, self.core)
  local form = byte(frame, 2)
  return sub(frame, form < 126 and 3 or form == 126 and 5 or 11)
end

--- Gives the memory back; the next message begins a new context.
function Deflater:release()
  core.release_codec(self.core)
end

local Reader = {}
Reader.__index = Reader

--- Makes a reader; see `websockets.engine.pure.reader`.
-- @tparam table options `role` (ours, `"server"` or `"client"`), `max_message_bytes`, `max_fragments`, `budget`,
-- `deflate`
-- @treturn table
function native.reader(options)
  local how = options.deflate and options.deflate.inflate or {}
  return setmetatable({
    core = core.reader({
      is_server = options.role == "server", max_message_bytes = options.max_message_bytes,
      max_fragments = options.max_fragments, window_bits = how.window_bits,
      no_context_takeover = how.no_context_takeover,
    }),
    budget = options.budget or new_budget(math.huge), held = 0, noted = 0,
    tells = options.budget ~= nil,
  }, Reader)
end

--- Reads bytes.
-- @tparam string bytes as they came, cut anywhere; `""` to go on after `again`
-- @tparam table batch gets pairs of opcode and payload; the last may be a close code and what the peer did wrong
-- @treturn number how many pairs
-- @treturn[1] boolean whether unread bytes are here
-- @treturn[2] number 0: none are here, and there is something to be told by `unfinished`
function Reader:feed(bytes, batch)
  local budget = self.budget
  local count, again, more = feed(self.core, bytes, batch)
  if more ~= 0 then
    budget:charge(more)
    self.held = self.held + more
  end
  if again or not self.tells or self.held == 0 then return count, again end
  local is_new = budget:level(self.held) > self.noted or budget:room() < 0
  return count, is_new and UNFINISHED
end

--- Tells of the message that is not whole; see `websockets.engine.pure.reader`.
-- @treturn number bytes
-- @treturn number progress
function Reader:unfinished()
  self.noted = self.budget:level(self.held)
  return unfinished(self.core)
end

--- Ends the reader and gives back to the budget what it holds; it reads nothing more.
function Reader:release()
  self.budget:charge(-release(self.core))
  self.held = 0
end

local Writer = {}
Writer.__index = Writer

--- Encodes one frame; a client masks it with four new random bytes. Whole data messages are compressed where that was
-- agreed; fragments never are.
-- @tparam number opcode 0 continuation, 1 text, 2 binary, 8 close, 9 ping, 10 pong
-- @tparam string payload
-- @tparam ?boolean fin false where more fragments follow
-- @tparam ?boolean plain true: do not compress
-- @treturn[1] string the frame
-- @treturn[2] nil
-- @treturn[2] string what failed
-- @treturn[2] string `entropy`
-- @rfc 6455 5.2
-- @rfc 6455 5.3
function Writer:encode(opcode, payload, fin, plain)
  return encode(self.masks, opcode, payload, fin, plain, self.codec)
end

--- Gives back what a connection's own deflater holds.
function Writer:release()
  if self.codec then core.release_codec(self.codec) end
end

local WRITERS = {
  server = setmetatable({ role = "server", masks = false, codec = false }, Writer),
  client = setmetatable({ role = "client", masks = true, codec = false }, Writer),
}

--- Gives a writer; see `websockets.engine.pure.writer`.
-- @tparam table options `role`: ours, `"server"` or `"client"`; `deflate`
-- @treturn table
function native.writer(options)
  local how = options.deflate and options.deflate.deflate
  if not how then return WRITERS[options.role] end
  if how.writer then return how.writer end
  local writer = setmetatable({
    role = options.role, masks = options.role == "client", codec = new_codec(how, how.threshold),
  }, Writer)
  if how.no_context_takeover then how.writer = writer end
  return writer
end

--- Gives unpredictable random bytes.
-- @function native.random
-- @tparam number count how many, 0 or more
-- @treturn[1] string
-- @treturn[2] nil
-- @treturn[2] string what failed
-- @treturn[2] string `entropy`
-- @rfc 6455 10.3
native.random = core.random

--- Computes the value of `Sec-WebSocket-Accept`.
-- @function native.accept_key
-- @tparam string key value of `Sec-WebSocket-Key`
-- @treturn string
-- @rfc 6455 4.2.2
native.accept_key = core.accept_key

--- See `websockets.engine.pure.base64`.
native.base64 = base64.encode

--- See `websockets.engine.pure.base64`.
native.unbase64 = base64.decode

--- See `websockets.engine.pure.utf8`.
function native.valid_utf8(bytes)
  return utf8_next(0, bytes, 1, #bytes) == 0
end

--- See `websockets.engine.pure.utf8`.
native.utf8_next = core.utf8_next

--- Tells the time on a clock that only goes forward.
-- @function native.now
-- @treturn number seconds from an arbitrary start
native.now = core.now

-- The highest bits of a file's mode, as every Unix has them, in lua-filesystem's words.
local KINDS = {
  [1] = "named pipe", [2] = "char device", [4] = "directory", [6] = "block device", [8] = "file", [10] = "link",
  [12] = "socket",
}

--- Tells what is known of a file, symbolic links followed.
-- @tparam string path
-- @treturn[1] table `kind` (a word of lua-filesystem's), `size`, `mtime`, `inode`, `device`
-- @treturn[2] nil
-- @treturn[2] string message
function native.file_facts(path)
  local kind, size, mtime, inode, device = core.file_facts(path)
  if not kind then return nil, "nothing to be seen at " .. path end
  return { kind = KINDS[kind] or "other", size = size, mtime = mtime, inode = inode, device = device }
end

--- Tells what a name itself is, where it is a symbolic link.
-- @tparam string path
-- @treturn ?table `kind`, and `target`: where a link points; nil where nothing has that name
function native.link_facts(path)
  local kind = core.file_facts(path, true)
  if not kind then return nil end
  kind = KINDS[kind] or "other"
  return { kind = kind, target = kind == "link" and core.link_target(path) or nil }
end

--- Sets the permissions of a file.
-- @function native.set_mode
-- @tparam string path
-- @tparam integer mode
-- @treturn boolean whether that was done
native.set_mode = core.set_mode

--- Gives up root: group with its supplementary groups, then user.
-- @function native.drop_privileges
-- @tparam integer gid -1 leaves it
-- @tparam integer uid -1 leaves it
-- @treturn[1] boolean true
-- @treturn[2] nil
-- @treturn[2] string `gid` or `uid`: which could not be set
native.drop_privileges = core.drop_privileges

--- Finds the address of a network interface, IPv4 where it has one.
-- @function native.interface_address
-- @tparam string name
-- @treturn ?string
native.interface_address = core.interface_address

--- Sets flags of a descriptor; see `websockets.transport.flags`.
-- @function native.set_flags
-- @tparam integer fd
-- @tparam boolean never_blocks
-- @tparam boolean closes_on_exec
-- @treturn boolean whether that was done
native.set_flags = core.set_flags

--- Tells how many bytes of a socket the other side has not acknowledged yet.
-- @function native.unsent
-- @tparam integer fd
-- @treturn ?integer nil where the system does not tell
native.unsent = core.unsent

--- Watches a call of another library with a socket: where it takes the processor too long, because the peer goes on
-- sending, the connection is ended, and so is the call. `watch(-1)` follows each call.
-- @function native.watch
-- @tparam integer fd below 0: the call has ended
-- @treturn boolean true
native.watch = core.watch

return native
