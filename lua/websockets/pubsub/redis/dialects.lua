--- The two kinds of pub/sub of Redis: their words, and how a batch of channels is asked for.
--
-- `send(carrier, kind, channels)` sends a batch, and sets `is_changing` of the carrier until all of it is answered. It
-- is not set where the batch could not be sent.
-- @module websockets.pubsub.redis.dialects
local resp = require("websockets.pubsub.redis.resp")
local slots = require("websockets.pubsub.redis.slots")

local dialects = {}

local PING = resp.command("PING")

local function lose_batch(its_link) its_link.events.is_changing = false end

-- A channel of a batch is confirmed. Returns whether all are.
local function confirm(its_link, list, entry)
  if list[1] ~= entry.kind then return false end
  entry.left = entry.left - 1
  if entry.left > 0 then return false end
  its_link.events:confirmed()
  return true
end

local function fault_of(value) return resp.fault(value) or "another answer came" end

-- None of the batch is confirmed.
local function refused(its_link, value, entry)
  local self = its_link.events
  self.is_changing = false
  self:refused(entry.kind, entry.channels, fault_of(value))
  self:plan()
end

local function send_classic(self, kind, channels)
  local entry = {
    kind = kind, channels = channels, left = #channels, confirm = confirm, reply = refused, lost = lose_batch,
  }
  self.is_changing = self.link:send(resp.list_command(kind:upper(), channels, 1, #channels), entry)
end

-- Each channel of a sharded batch has a confirmation or a refusal, in the order in which they were asked for. Returns
-- whether all have.
local function next_answered(self, entry)
  entry.at = entry.at + 1
  if entry.at <= #entry.channels then return false end
  self.is_changing = false
  return true
end

local function confirm_sharded(its_link, list, entry)
  return list[1] == entry.kind and next_answered(its_link.events, entry)
end

local function is_last_refused(its_link, _, entry) return next_answered(its_link.events, entry) end

local function refused_sharded(its_link, value, entry)
  local self, fault, channel = its_link.events, fault_of(value), entry.channels[entry.at - 1]
  if slots.is_redirection(fault) then self:lose(channel) else self:refused(entry.kind, { channel }, fault) end
  self:plan()
end

local function is_pong(its_link, value)
  if value ~= "PONG" then return false end
  its_link.events.is_changing = false
  return true
end

local function unsubscribed(its_link) its_link.events:plan() end

-- A command has channels of one slot only, so each channel has its own. When a node ends a subscription itself, because
-- its slot has moved, it says so in the words of the answer to ours, which then is an error: so nothing counts but the
-- answer to the PING that follows.
local function send_sharded(self, kind, channels)
  local parts, entry = {}, { kind = kind, channels = channels, at = 1, lost = lose_batch }
  for i, channel in ipairs(channels) do parts[i] = resp.command(kind:upper(), channel) end
  if kind == self.dialect.subscribe then
    entry.confirm, entry.is_last, entry.reply = confirm_sharded, is_last_refused, refused_sharded
  else
    parts[#parts + 1] = PING
    entry.is_last, entry.reply = is_pong, unsubscribed
  end
  self.is_changing = self.link:send(table.concat(parts), entry)
end

--- What waits for the answer to a message: the first refusal of a connection is reported.
dialects.PUBLISHED = { lost = function() end }

function dialects.PUBLISHED.reply(its_link, value)
  local fault = resp.fault(value)
  local self = its_link.events
  if not fault then return end
  self.receiver:message_refused()
  if self.is_sharded and slots.is_redirection(fault) then
    self.receiver:redirected()
    if not fault:find("^CLUSTERDOWN") then return end
  end
  if self.has_refused then return end
  self.has_refused = true
  self.receiver:report("a message was refused: " .. fault)
end

--- Of a server alone, and of a cluster that has no other. `head` is how a message begins.
dialects.CLASSIC = {
  subscribe = "subscribe", unsubscribe = "unsubscribe", head = "*3\r\n$7\r\nPUBLISH\r\n$", send = send_classic,
}

--- Of a node of a cluster.
dialects.SHARDED = {
  subscribe = "ssubscribe", unsubscribe = "sunsubscribe", head = "*3\r\n$8\r\nSPUBLISH\r\n$", send = send_sharded,
}

return dialects
