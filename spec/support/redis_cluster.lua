--- A cluster of Redis or Valkey that a spec starts: three masters, each with a third of the slots.
-- @module spec.support.redis_cluster

local ports = require "spec.support.ports"
local redis = require "spec.support.redis"
local slots = require "websockets.pubsub.redis.slots"
local socket = require "socket"

local redis_cluster = {}
redis_cluster.__index = redis_cluster

local START_SECONDS = 30
local MASTERS = 3

-- An answer of RESP2.
local function read(connection)
  local line = assert(connection:receive("*l"))
  local kind, text = line:sub(1, 1), line:sub(2)
  if kind == ":" then return tonumber(text) end
  if kind == "$" then
    if text == "-1" then return false end
    local bytes = assert(connection:receive(tonumber(text) + 2))
    return bytes:sub(1, -3)
  end
  if kind ~= "*" then return line end
  local list = {}
  for i = 1, tonumber(text) do list[i] = read(connection) end
  return list
end

--- Asks a node something; an error raises.
-- @tparam table node of `spec.support.redis`
-- @tparam string line
-- @return its answer
function redis_cluster.ask(node, line)
  local connection = assert(node:connect())
  connection:send(line .. "\r\n")
  local answer = read(connection)
  connection:close()
  assert(type(answer) ~= "string" or answer:sub(1, 1) ~= "-", answer)
  return answer
end

local ask = redis_cluster.ask

local function await(condition, what)
  local deadline = socket.gettime() + START_SECONDS
  while not condition() do
    assert(socket.gettime() < deadline, what)
    socket.sleep(0.02)
  end
end

local function is_whole(self, node)
  local state = ask(node, "CLUSTER INFO")
  return state:find("cluster_state:ok", 1, true)
    and state:find(("cluster_known_nodes:%d\r"):format(#self.nodes), 1, true)
    and #ask(node, "CLUSTER SLOTS") >= MASTERS
end

--- Waits until all nodes know all others.
function redis_cluster:await_whole()
  for _, node in ipairs(self.nodes) do
    await(function() return is_whole(self, node) end, "the cluster is not whole")
  end
end

local function add_node(self, kind, lines)
  local node = redis.new(kind, ("cluster-enabled yes\ncluster-port %d\ncluster-node-timeout 4000\n%s")
    :format(ports.closed(), lines))
  node.bus = tonumber(node.lines:match("cluster%-port (%d+)"))
  node:start()
  node.id = ask(node, "CLUSTER MYID")
  self.nodes[#self.nodes + 1] = node
  return node
end

--- Starts one.
-- @tparam string kind `Redis` or `Valkey`
-- @tparam[opt=""] string lines more lines of the configuration of each node
-- @treturn redis_cluster `nodes`, as `spec.support.redis` makes them, with `id`
function redis_cluster.start(kind, lines)
  local self = setmetatable({ nodes = {}, kind = kind, lines = lines or "" }, redis_cluster)
  for i = 1, MASTERS do
    local node = add_node(self, kind, self.lines)
    local first, last = math.floor((i - 1) * slots.COUNT / MASTERS), math.floor(i * slots.COUNT / MASTERS) - 1
    ask(node, ("CLUSTER ADDSLOTSRANGE %d %d"):format(first, last))
    ask(node, "CLUSTER SET-CONFIG-EPOCH " .. i)
    if i > 1 then ask(self.nodes[1], ("CLUSTER MEET 127.0.0.1 %d %d"):format(node.port, node.bus)) end
  end
  self:await_whole()
  return self
end

--- Adds a replica of a node, and waits until it has everything.
-- @tparam table master
-- @treturn table node
function redis_cluster:add_replica(master)
  local node = add_node(self, self.kind, self.lines)
  ask(node, ("CLUSTER MEET 127.0.0.1 %d %d"):format(master.port, master.bus))
  self:await_whole()
  ask(node, "CLUSTER REPLICATE " .. master.id)
  await(function() return ask(node, "INFO replication"):find("master_link_status:up", 1, true) end, "no replica")
  return node
end

-- The id of the node that has a slot, as a node knows.
local function owner_id(node, slot)
  for _, range in ipairs(ask(node, "CLUSTER SLOTS")) do
    if slot >= range[1] and slot <= range[2] then return range[3][3] end
  end
end

--- Gives the node that has a slot, as the first one knows that can be reached.
-- @tparam integer slot
-- @treturn table node
function redis_cluster:owner(slot)
  for _, node in ipairs(self.nodes) do
    local id = node.process and owner_id(node, slot)
    for _, other in ipairs(self.nodes) do
      if other.id == id then return other end
    end
  end
end

--- Waits until all nodes know that one has a slot. Redis loses slots that move to and fro faster than the nodes talk.
-- @tparam integer slot
-- @tparam table owner
function redis_cluster:await_owner(slot, owner)
  await(function()
    for _, node in ipairs(self.nodes) do
      if owner_id(node, slot) ~= owner.id then return false end
    end
    return true
  end, "no node has the slot")
end

--- Gives another node than one.
-- @tparam table node
-- @treturn table node
function redis_cluster:other_than(node)
  return self.nodes[1] == node and self.nodes[2] or self.nodes[1]
end

--- Begins to move a slot.
-- @tparam integer slot
-- @tparam table from
-- @tparam table to
function redis_cluster.begin_move(slot, from, to)
  ask(to, ("CLUSTER SETSLOT %d IMPORTING %s"):format(slot, from.id))
  ask(from, ("CLUSTER SETSLOT %d MIGRATING %s"):format(slot, to.id))
end

--- Moves keys of a slot.
-- @tparam integer slot
-- @tparam table from
-- @tparam table to
-- @tparam integer count at most so many
-- @treturn integer how many
function redis_cluster.move_keys(slot, from, to, count)
  local keys = ask(from, ("CLUSTER GETKEYSINSLOT %d %d"):format(slot, count))
  for _, key in ipairs(keys) do
    assert(ask(from, ("MIGRATE 127.0.0.1 %d %s 0 5000"):format(to.port, key)) == "+OK")
  end
  return #keys
end

--- Ends a move: the nodes hear of it one after the other.
-- @tparam integer slot
-- @tparam table to
function redis_cluster:end_move(slot, to)
  ask(to, ("CLUSTER SETSLOT %d NODE %s"):format(slot, to.id))
  for _, node in ipairs(self.nodes) do
    if node ~= to and node.process then ask(node, ("CLUSTER SETSLOT %d NODE %s"):format(slot, to.id)) end
  end
end

--- Counts the subscriptions of a sharded channel at each node.
-- @tparam string channel
-- @treturn {integer,...}
function redis_cluster:subscribers(channel)
  local counts = {}
  for i, node in ipairs(self.nodes) do
    counts[i] = node.process and ask(node, "PUBSUB SHARDNUMSUB " .. channel)[2] or 0
  end
  return counts
end

--- Has all nodes forget all keys.
function redis_cluster:clear()
  for _, node in ipairs(self.nodes) do
    if node.process and ask(node, "ROLE")[1] == "master" then ask(node, "FLUSHALL") end
  end
end

return redis_cluster
