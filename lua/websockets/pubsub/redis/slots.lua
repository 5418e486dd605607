--- The slots of a Redis cluster: the slot of a key or channel, and the node that has each slot.
-- @module websockets.pubsub.redis.slots
local resp = require("websockets.pubsub.redis.resp")
local url = require("websockets.protocol.url")

local slots = {
  --- How many there are, from 0.
  COUNT = 16384,
}

local byte, find, sub = string.byte, string.find, string.sub

-- The most masters. Redis advises against more than 1,000 nodes in a cluster.
local MAX_NODES = 1000
local DEFAULT_PORT = 6379

-- Makes a table of the exclusive-or of all numbers below 16, because Lua 5.1 has no operator for it.
local function make_xor()
  local xor = {}
  for a = 0, 15 do
    xor[a] = {}
    for b = 0, 15 do
      local sum, bit, x, y = 0, 1, a, b
      for _ = 1, 4 do
        if x % 2 ~= y % 2 then sum = sum + bit end
        x, y, bit = (x - x % 2) / 2, (y - y % 2) / 2, bit * 2
      end
      xor[a][b] = sum
    end
  end
  return xor
end

local xor

-- The CRC-16 of XMODEM (polynomial 0x1021), four bits of the text at a time. The sixteen bits of the sum are in four
-- numbers of four bits each, from `a`, the lowest, to `d`, the highest.
local function crc_of(text)
  xor = xor or make_xor()
  local a, b, c, d = 0, 0, 0, 0
  for at = 1, #text do
    local one = byte(text, at)
    local low = one % 16
    for step = 1, 2 do
      local i = xor[d][step == 1 and (one - low) / 16 or low]
      a, b, c, d = i, xor[a][i * 2 % 16], xor[b][i > 7 and 1 or 0], xor[c][i]
    end
  end
  return ((d * 16 + c) * 16 + b) * 16 + a
end

--- Gives the slot of a key or of a channel. If it has something in braces, only the text in the first pair counts.
-- @tparam string name
-- @treturn integer from 0
function slots.of(name)
  local first = find(name, "{", 1, true)
  local last = first and find(name, "}", first + 1, true)
  if last and last > first + 1 then name = sub(name, first + 1, last - 1) end
  return crc_of(name) % slots.COUNT
end

--- Gives the place of a node.
-- @param host name or address; "" or false: the same host as that of the server that was asked
-- @param port
-- @tparam table asked place of the server that was asked
-- @treturn[1] table as `websockets.pubsub.redis.place` gives it
-- @treturn[2] nil
function slots.place(host, port, asked)
  if host == false or host == "" then host = asked.host end
  if type(host) ~= "string" or type(port) ~= "number" or port % 1 ~= 0 then return nil end
  if find(host, ":", 1, true) then host = "[" .. host .. "]" end
  local made = url.authority(("%s:%d"):format(host, port), DEFAULT_PORT)
  if not made then return nil end
  made.is_secure, made.database, made.user, made.password = asked.is_secure, 0, asked.user, asked.password
  return made
end

local function is_slot(value)
  return type(value) == "number" and value % 1 == 0 and value >= 0 and value < slots.COUNT
end

-- Reads one range of an answer: first and last slot, and the place of their master. Nil if it is no range.
local function read_range(range, asked)
  if type(range) ~= "table" then return nil end
  local first, last, node = range[1], range[2], range[3]
  if not is_slot(first) or not is_slot(last) or first > last or type(node) ~= "table" then return nil end
  return first, last, slots.place(node[1], node[2], asked)
end

--- Reads the answer to CLUSTER SLOTS.
-- @param value any value of RESP3
-- @tparam table asked place of the server that gave it
-- @treturn[1] table slot -> name of the node that has it
-- @treturn[1] table name -> its place
-- @treturn[2] nil
-- @treturn[2] string what is wrong
function slots.read(value, asked)
  if type(value) ~= "table" or value.fault then return nil, resp.fault(value) or "another answer came" end
  local owners, places, nodes = {}, {}, 0
  for _, range in ipairs(value) do
    local first, last, place = read_range(range, asked)
    if not first then return nil, "no range of slots" end
    -- A node may not know its own name yet. Its slots have no node until it does.
    if place then
      local name = place.authority
      if not places[name] then places[name], nodes = place, nodes + 1 end
      if nodes > MAX_NODES then return nil, ("more than %d nodes"):format(MAX_NODES) end
      for slot = first, last do
        -- This also bounds the work: an answer cannot name more slots than there are.
        if owners[slot] then return nil, "a slot twice" end
        owners[slot] = name
      end
    end
  end
  return owners, places
end

local PASSING = { MOVED = true, ASK = true, TRYAGAIN = true, CLUSTERDOWN = true }

--- Tells whether an error of a node means that another node has to be asked, or the same node later.
-- @tparam string fault
-- @treturn boolean
function slots.is_redirection(fault) return PASSING[fault:match("^%S*")] or false end

--- Reads from an error `ASK` which node is to be asked this one time.
-- @tparam string fault
-- @tparam table asked place of the server that gave it
-- @treturn ?table its place; nil for any other error
function slots.asked_for(fault, asked)
  local host, port = fault:match("^ASK %d+ (.*):(%d+)$")
  return host and #port <= 5 and slots.place(host, tonumber(port), asked) or nil
end

return slots
