--- Processes that share topics, and clients of theirs in the spec.
-- @module spec.support.redis_fleet

local child = require "spec.support.child"
local ports = require "spec.support.ports"
local server = require "spec.support.server"

local redis_fleet = {}
redis_fleet.__index = redis_fleet

local LIMIT_SECONDS = 300

--- Starts processes: as many as are told on one port, and one more on another.
-- @tparam string url of the back plane
-- @tparam integer count on the shared port
-- @tparam[opt] string options source of a table, for `websockets.context`
-- @treturn redis_fleet `processes`; `context` of the clients
function redis_fleet.start(url, count, options)
  local self = setmetatable({ processes = {}, ports = {}, clients = {}, server = server.start({}) }, redis_fleet)
  self.context = self.server.context
  self.shared_port, self.url, self.options = ports.closed(), url, options
  for _ = 1, count do self:add(self.shared_port) end
  self:add("any")
  return self
end

--- Starts one more process, and waits until it has its back plane.
-- @tparam integer|string port
-- @treturn table process
function redis_fleet:add(port)
  local command = ("%s spec/support/redis_worker.lua %s %s"):format(child.this_lua(), child.quote(self.url), port)
  if self.options then command = command .. " " .. child.quote(self.options) end
  local process = child.start(command, "WEBSOCKETS_NATIVE=" .. (server.is_native and "on" or "off"), LIMIT_SECONDS)
  process.port = tonumber(process:expect("^port (%d+)"))
  process:expect("back plane: connected")
  self.processes[#self.processes + 1] = process
  return process
end

--- Connects a client.
-- @tparam ?integer which process: nil is one of those on the shared port, as the system chooses
-- @tparam[opt] table options of `context:connect`
-- @treturn table ws with `texts`, what it has received
function redis_fleet:connect(which, options)
  local port = which and self.processes[which].port or self.shared_port
  local ws = assert(self.context:connect(("ws://127.0.0.1:%d/"):format(port), options))
  local one = { ws = ws, texts = {}, is_open = false }
  ws:on_open(function() one.is_open = true end)
  ws:on_receive(function(_, text) one.texts[#one.texts + 1] = text end)
  ws:on_closed(function(_, code, reason, _, why) one.ended = ("%s %s %s"):format(code, reason, why) end)
  self.clients[#self.clients + 1] = one
  return one
end

--- Connects many clients, some at a time.
-- @tparam integer count
-- @tparam ?integer which process
-- @treturn {table,...}
function redis_fleet:connect_many(count, which)
  local list = {}
  for i = 1, count do
    list[i] = self:connect(which)
    if i % 50 == 0 then self:await(function() return list[i].is_open end, "connections") end
  end
  self:await(function()
    for _, one in ipairs(list) do
      assert(not one.ended, one.ended)
      if not one.is_open then return false end
    end
    return true
  end, "open connections")
  return list
end

--- Serves the clients until a condition holds.
-- @tparam function condition
-- @tparam string what is waited for
function redis_fleet:await(condition, what)
  self.server:pump(condition, what)
end

--- Sends a text.
-- @tparam table one client
-- @tparam string text
function redis_fleet.say(_, one, text)
  assert(one.ws:write(text) == 0)
end

--- Has clients subscribe, and waits until the server of the back plane knows of every process.
-- @tparam {table,...} clients
-- @tparam string topic
-- @tparam table redis of `spec.support.redis`
-- @tparam integer processes how many have subscribers
function redis_fleet:subscribe(clients, topic, redis, processes)
  for _, one in ipairs(clients) do self:say(one, "+ " .. topic) end
  self:await(function()
    for _, one in ipairs(clients) do
      if not one.texts[1] then return false end
    end
    return true
  end, "answers to subscribing")
  for _, one in ipairs(clients) do assert(table.remove(one.texts, 1) == "+") end
  self:await(function() return redis:subscribers("ws:t:{" .. topic .. "}") == processes end, "subscribed processes")
end

--- Tells what is wrong with the messages that a client has: each `PUBLISHER:N` once, in order for each publisher.
-- @tparam table one
-- @tparam table last publisher -> number of its last message; first is 1
-- @treturn ?string
function redis_fleet.fault(one, last)
  local seen = {}
  for _, text in ipairs(one.texts) do
    local publisher, number = text:match("^(%w+):(%d+)$")
    if publisher then
      if tonumber(number) ~= (seen[publisher] or 0) + 1 then
        return ("%s after %s of %s"):format(number, seen[publisher] or 0, publisher)
      end
      seen[publisher] = tonumber(number)
    end
  end
  for publisher, number in pairs(last) do
    if (seen[publisher] or 0) ~= number then
      return ("%s of %d from %s"):format(seen[publisher] or 0, number, publisher)
    end
  end
end

--- Ends the processes.
function redis_fleet:stop()
  for _, process in ipairs(self.processes) do process:stop() end
end

return redis_fleet
