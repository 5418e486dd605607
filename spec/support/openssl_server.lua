--- `openssl s_server` as a WebSocket server that a spec leads by the hand: it answers and sends what the spec says, and
-- takes commands that no library has, such as new keys.
-- @module spec.support.openssl_server
local child = require("spec.support.child")
local engine = require("websockets.engine.pure")

local openssl_server = {}
openssl_server.__index = openssl_server

local TEXT = 1

--- Start a server on a port that the system chooses.
-- @tparam table pair `certificate`, `key`: paths
-- @tparam[opt=""] string options further ones of s_server
-- @treturn openssl_server `port`
function openssl_server.start(pair, options)
  local folder = child.make_folder()
  assert(select(2, child.run("mkfifo " .. folder .. "/in")) == 0)
  -- Else what it prints waits for the end of a buffer.
  local command = "exec stdbuf -o0 openssl s_server -accept 127.0.0.1:0 -cert %s -key %s %s <%s/in >%s/out 2>&1"
  command = command:format(pair.certificate, pair.key, options or "", folder, folder)
  local self = setmetatable({ folder = folder, program = child.start("sh -c " .. child.quote(command)) },
    openssl_server)
  -- Waits until the program reads.
  self.input = assert(io.open(folder .. "/in", "w"))
  self.input:setvbuf("no")
  repeat self.port = tonumber(self:output():match("ACCEPT [^\n]*:(%d+)\n")) until self.port
  return self
end

--- Tell all that has been printed, what a client sent as it came.
-- @treturn string
function openssl_server:output()
  local file = io.open(self.folder .. "/out", "rb")
  local text = file and file:read("*a") or ""
  if file then file:close() end
  return text
end

--- Answer the request, if it has come.
-- @treturn boolean
function openssl_server:accept()
  local key = self:output():match("\r\nSec%-WebSocket%-Key: ([^\r\n]+)\r\n.*\r\n\r\n")
  if not key then return false end
  self.input:write(("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    .. "Sec-WebSocket-Accept: %s\r\n\r\n"):format(engine.accept_key(key)))
  return true
end

--- Send a text; its frame does not begin as a command.
-- @tparam string text
function openssl_server:write(text)
  self.input:write(engine.writer({ role = "server" }):encode(TEXT, text))
end

local function handshakes(self)
  return select(2, self:output():gsub("SSL_do_handshake %->", ""))
end

--- Give a command. What is written before it is followed is lost.
-- @tparam string letter of one that begins a handshake
-- @treturn function whether it has been followed
function openssl_server:command(letter)
  local before = handshakes(self)
  self.input:write(letter .. "\n")
  return function() return handshakes(self) > before end
end

--- Tell whether a ping has come.
-- @tparam string payload
-- @treturn boolean
function openssl_server:has_heard_ping(payload)
  local text, from = self:output(), 1
  while true do
    local at = text:find(string.char(0x89, 0x80 + #payload), from, true)
    if not at then return false end
    local batch = {}
    local reader = engine.reader({ role = "server", max_message_bytes = 1000, max_fragments = 1 })
    if reader:feed(text:sub(at, at + 5 + #payload), batch) == 1 and batch[2] == payload then return true end
    from = at + 1
  end
end

--- End the server.
function openssl_server:stop()
  self.input:close()
  self.program:stop()
  child.remove_folder(self.folder)
end

return openssl_server
