--- A relay between a client and a server, for specs of what a network does to them: it stalls, ends, resets or changes
-- a connection at any byte.
-- @module spec.support.disturbance
local socket = require("socket")

local disturbance = {}
disturbance.__index = disturbance

local CHUNK_BYTES = 65536
local RESET = { on = true, timeout = 0 }

--- Listen on a port that the system chooses; closed with the server that pumps it.
-- @tparam table server of `spec.support.server`
-- @tparam number port of the server on 127.0.0.1 that connections are carried to
-- @treturn disturbance `port`
function disturbance.listen(server, port)
  local listener = assert(socket.bind("127.0.0.1", 0))
  listener:settimeout(0)
  local _, own_port = listener:getsockname()
  local self = setmetatable({ listener = listener, port = math.floor(tonumber(own_port)), target = port, links = {} },
    disturbance)
  server.clients[#server.clients + 1] = self
  return self
end

-- What goes one way: `count` bytes so far.
local function way(from, to)
  return { from = from, to = to, waiting = "", count = 0, ended = false, fault = false }
end

--- Do something to the connections that come from now on.
-- @tparam string direction `down`: to the client; `up`: to the server
-- @tparam number after so many bytes of that direction pass as they are
-- @tparam string how `stall`: nothing more passes; `end`: the direction ends; `reset`: both sides are reset; `change`:
-- the next byte is another; `insert`: `bytes` come in between
-- @tparam[opt] string bytes
function disturbance:fault(direction, after, how, bytes)
  self.script = { direction = direction, after = after, how = how, bytes = bytes }
end

local function accept(self)
  local client = self.listener:accept()
  if not client then return end
  local server = socket.tcp()
  assert(server:connect("127.0.0.1", self.target))
  for _, one in ipairs({ client, server }) do
    one:settimeout(0)
    one:setoption("tcp-nodelay", true)
  end
  local link = { client = client, server = server, up = way(client, server), down = way(server, client) }
  if self.script then link[self.script.direction].fault = self.script end
  self.links[#self.links + 1] = link
end

local function reset(link)
  for _, one in ipairs({ link.client, link.server }) do
    one:setoption("linger", RESET)
    one:close()
  end
  link.is_over = true
end

local acts = {}

function acts.stall(one)
  one.is_stalled = true
end

acts["end"] = function(one)
  one.is_stalled = true
  one.to:shutdown("send")
end

function acts.reset(_, link) reset(link) end

function acts.change(_, _, bytes)
  return string.char((bytes:byte() + 1) % 256) .. bytes:sub(2)
end

function acts.insert(_, _, bytes, fault)
  return fault.bytes .. bytes
end

local function is_due(one, bytes)
  local fault, count = one.fault, one.count + #bytes
  -- There must be a byte to change.
  return fault and (count > fault.after or count == fault.after and fault.how ~= "change")
end

-- Lets bytes pass up to the fault, and commits it there.
local function pass(one, link, bytes)
  if is_due(one, bytes) then
    local fault, good = one.fault, one.fault.after - one.count
    one.to:send(bytes:sub(1, good))
    one.count = fault.after
    bytes = acts[fault.how](one, link, bytes:sub(good + 1), fault) or ""
    one.fault = false
  end
  one.count = one.count + #bytes
  one.waiting = bytes
end

local function carry(one, link)
  if one.is_stalled or link.is_over then return end
  if one.waiting == "" and not one.ended then
    local whole, why, part = one.from:receive(CHUNK_BYTES)
    pass(one, link, whole or part or "")
    if not whole and why ~= "timeout" then one.ended = true end
  end
  if link.is_over or one.is_stalled then return end
  if one.waiting ~= "" then
    local last, _, partial = one.to:send(one.waiting)
    one.waiting = one.waiting:sub((last or partial or 0) + 1)
  elseif one.ended == true then
    one.to:shutdown("send")
    one.ended = "told"
  end
end

--- Carry what has come, without waiting.
function disturbance:poll()
  accept(self)
  for _, link in ipairs(self.links) do
    carry(link.up, link)
    carry(link.down, link)
  end
end

--- Tell how many bytes have come down to the client of a connection.
-- @tparam[opt=1] number at which connection
-- @treturn number
function disturbance:count(at)
  return self.links[at or 1].down.count
end

--- End everything.
function disturbance:close()
  for _, link in ipairs(self.links) do
    link.client:close()
    link.server:close()
  end
  self.listener:close()
end

return disturbance
