--- A server of RESP3 inside the spec that tests a client of it: it answers as the spec says, whole or in part.
-- @module spec.support.fake_redis

local socket = require "socket"

local fake_redis = {}
fake_redis.__index = fake_redis

--- What a server answers HELLO 3 with.
fake_redis.HELLO = "%3\r\n$6\r\nserver\r\n$5\r\nredis\r\n$5\r\nproto\r\n:3\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n"

--- What a server answers PING with.
fake_redis.PONG = "+PONG\r\n"

--- Starts one on a port that the system chooses.
-- @tparam ?function answer `answer(words, fake)` gives the bytes for a command; nil: as a server does
-- @treturn fake_redis `port`; `commands`: the words of each command that came; `count` of connections
function fake_redis.new(answer)
  local listening = assert(socket.bind("127.0.0.1", 0))
  listening:settimeout(0)
  return setmetatable({
    listening = listening, port = math.floor(tonumber((select(2, listening:getsockname())))), answer = answer,
    commands = {}, buffer = "", count = 0, connection = false, held = false,
  }, fake_redis)
end

--- The usual answer to a command.
-- @tparam {string,...} words
-- @treturn string
function fake_redis.usual(words)
  local name = words[1]
  if name == "HELLO" then return fake_redis.HELLO end
  if name == "PING" then return fake_redis.PONG end
  if name == "PUBLISH" then return ":1\r\n" end
  local parts = {}
  for i = 2, #words do
    parts[#parts + 1] = (">3\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n:1\r\n"):format(#name, name:lower(), #words[i], words[i])
  end
  return table.concat(parts)
end

--- What the function of a fake returns so that it answers this command, and all that come after it, after `resume`
-- only: a server answers in order.
fake_redis.HOLD = {}

-- The next whole command of what has come.
local function take_command(self)
  local count, at = self.buffer:match("^%*(%d+)\r\n()")
  if not count then return nil end
  local words = {}
  for i = 1, tonumber(count) do
    local size, start = self.buffer:match("^$(%d+)\r\n()", at)
    if not size or #self.buffer < start + size + 1 then return nil end
    words[i] = self.buffer:sub(start, start + size - 1)
    at = math.floor(start + size + 2)
  end
  self.buffer = self.buffer:sub(at)
  return words
end

--- Sends bytes to the last connection.
-- @tparam string bytes
function fake_redis:send(bytes)
  if self.connection then self.connection:send(bytes) end
end

--- Ends the last connection.
function fake_redis:drop()
  if self.connection then self.connection:close() end
  self.connection, self.buffer, self.held = false, "", false
end

local function answer_next(self, words)
  local answer = (self.answer or fake_redis.usual)(words, self)
  if answer == fake_redis.HOLD then
    self.held = words
  elseif answer then
    self:send(answer)
  end
end

--- Goes on with the command that is held: the function of the fake is asked again.
function fake_redis:resume()
  local words = assert(self.held, "no command is held")
  self.held = false
  answer_next(self, words)
end

--- Does what there is to do; called in each turn of the spec.
function fake_redis:step()
  local fresh = self.listening:accept()
  if fresh then
    self:drop()
    self.connection, self.count = fresh, self.count + 1
    fresh:settimeout(0)
  end
  if not self.connection then return end
  local bytes, why, part = self.connection:receive(65536)
  self.buffer = self.buffer .. (bytes or part or "")
  while not self.held do
    local words = take_command(self)
    if not words then break end
    self.commands[#self.commands + 1] = words
    answer_next(self, words)
  end
  if why == "closed" then self:drop() end
end

--- Ends it.
function fake_redis:close()
  self:drop()
  self.listening:close()
end

return fake_redis
