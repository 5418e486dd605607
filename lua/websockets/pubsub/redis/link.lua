--- One connection to a Redis or Valkey server, over the loop and the transports of a context. It is opened again
-- whenever it ends.
--
-- It is a connection like those of `context:connect`, with another last step of its dial. Its states: `down`,
-- `connecting`, `ready`, `closed`.
-- @module websockets.pubsub.redis.link
local backoff = require("websockets.client.backoff")
local dial = require("websockets.client.dial")
local lifecycle = require("websockets.connection.lifecycle")
local resp = require("websockets.pubsub.redis.resp")
local url = require("websockets.protocol.url")

local link = {}
link.__index = link

local match = string.match

-- What an answer, with all that it contains, may be long; what may wait for a server that reads nothing.
local MAX_VALUE_BYTES, MAX_WAITING_BYTES = 64 * 1024 * 1024, 16 * 1024 * 1024
-- A server that says one of these can do nothing for us now.
local USELESS = { BUSY = true, LOADING = true, MASTERDOWN = true, READONLY = true, NOAUTH = true }
local PING = resp.command("PING")

local function ignore() end

-- What waits for an answer: `reply(link, value)`, or `lost(link)` where none will come.
local NO_ENTRY = { lost = ignore, reply = ignore }

local function give_up(self, message, code)
  lifecycle.abort(self.ws, code, ("%s %s"):format(url.label(self.server), message))
  return true
end

local HELLO, SELECT = { lost = ignore }, { lost = ignore }

function HELLO.reply(self, value)
  local fault = resp.fault(value)
  if fault then
    return give_up(self, "refused HELLO 3: " .. fault, "refused")
  elseif type(value) ~= "table" or resp.field(value, "proto") ~= 3 then
    return give_up(self, "does not speak RESP3", "protocol")
  end
  self.is_cluster = resp.field(value, "mode") == "cluster"
  local version = resp.field(value, "version")
  self.version = type(version) == "string" and tonumber(match(version, "^%d+")) or 0
end

function SELECT.reply(self, value)
  local fault = resp.fault(value)
  if fault then give_up(self, "refused the database: " .. fault, "refused") end
end

local tick

-- The first PING: a server that still loads its data refuses it.
local READY = {
  lost = ignore,
  reply = function(self, value)
    if value ~= "PONG" then return give_up(self, "is not ready: " .. (resp.fault(value) or "no PONG"), "refused") end
    self.state, self.ready_at = "ready", self.context.now
    lifecycle.deadline(self.ws, self.settings.timeout / 2, tick)
    return self.events:ready()
  end,
}

-- A server that has been asked for as long as this, and has said nothing, is given up.
function tick(ws)
  local self = ws.phase.step.link
  if not self.has_heard then return give_up(self, "does not answer", "timeout") end
  self.has_heard = false
  self:send(PING, NO_ENTRY)
  lifecycle.deadline(ws, self.settings.timeout / 2, tick)
end

local function greet(self)
  local settings, server = self.settings, self.server
  local user, password = settings.user or server.user, settings.password or server.password
  if user == nil or user == "" then user = "default" end
  if password and password ~= "" then
    self:send(resp.command("HELLO", "3", "AUTH", user, password), HELLO)
  else
    self:send(resp.command("HELLO", "3"), HELLO)
  end
  if server.database > 0 then self:send(resp.command("SELECT", ("%d"):format(server.database)), SELECT) end
  self:send(PING, READY)
end

-- The last step of the dial.
local function speak(self)
  return {
    link = self,
    begin = function(its_dial, ws)
      its_dial.work, self.ws = resp.new(self, MAX_VALUE_BYTES), ws
      greet(self)
    end,
    feed = function(its_dial, ws, bytes)
      self.has_heard = true
      local is_good, why = its_dial.work:feed(bytes)
      if not is_good and ws.state ~= "closed" then dial.fail(ws, why, "protocol") end
    end,
    ended = function(_, ws) dial.fail(ws, url.label(self.server) .. " ended the connection", "closed") end,
  }
end

-- What a connection has of the settings of its context, and what is its own.
local function settings_of(self)
  return setmetatable({
    timeout = self.settings.timeout, proxy = false, tls = self.settings.tls or { alpn = false }, reconnect = false,
    speak = speak(self), is_aside = true,
  }, { __index = self.context.settings })
end

local function retry(self) self:open() end

-- Returns after how many seconds.
local function plan_retry(self)
  if self.ready_at and self.context.now - self.ready_at >= self.settings.max then self.backoff:reset() end
  self.ready_at = false
  local seconds = self.backoff:next()
  self.context.timers:plan(self, self.context.clock() + seconds)
  return seconds
end

local function lose(self, message, code)
  local pending, first, last, is_good, seconds = self.pending, self.first, self.last, true, nil
  self.first, self.last, self.ws, self.state = 1, 0, false, "down"
  -- Before all that may raise: else it would not be opened again. Where this raises, `repair` has it opened.
  if self.is_closed or self.context.destroying then
    self.state = "closed"
  else
    is_good, seconds = pcall(plan_retry, self)
  end
  for i = first, last do
    local entry = pending[i]
    pending[i] = nil
    self.context.agenda:call(nil, entry.lost, self, entry)
  end
  if seconds then self.events:lost(message, code, is_good and seconds or 0) end
  if not is_good then error(seconds, 0) end
end

--- Makes a connection that is not opened yet.
-- @tparam table context
-- @tparam table place of `websockets.pubsub.redis.place`
-- @tparam table settings `user`, `password`, `tls`, `timeout` (seconds), `min`, `max`, `jitter` (of the backoff)
-- @tparam table events `ready(events)`, `lost(events, message, code, seconds)`: it is tried again after those seconds;
-- `message(events, channel, payload)`, `push(events, list)`
-- @treturn link
function link.new(context, place, settings, events)
  return setmetatable({
    context = context, server = place, place = false, settings = settings, events = events, ws = false, state = "down",
    backoff = backoff.new(settings, backoff.random(context.engine)), fire = retry, is_closed = false,
    -- What waits for an answer, in the order of the commands.
    pending = {}, first = 1, last = 0,
    ready_at = false, has_heard = true, is_cluster = false, version = 0,
  }, link)
end

--- Opens the connection; within a turn.
function link:open()
  local timers = self.context.timers
  self.state, self.has_heard = "connecting", true
  -- First: after an error it is tried again.
  timers:plan(self, self.context.now)
  local function closed(_, _, reason, _, why) lose(self, reason, why) end
  local ws, message, code = dial.connect(self.context, self.server, settings_of(self))
  timers:unplan(self)
  if not ws then return lose(self, message, code) end
  self.ws, ws.closed_handler = ws, closed
end

--- Has a connection opened that is down, or whose end was not told, because an error came first.
function link:repair()
  local ws = self.ws
  if ws and ws.state == "closed" and not self.context.owners[ws.fd] then
    ws.closed_handler = false
    lose(self, url.label(self.server) .. " was lost in an error", "error")
  end
  if not (self.ws or self.place or self.state == "closed") then self.context.timers:plan(self, self.context.now) end
end

--- Ends the connection, so that it is opened again.
function link:renew() give_up(self, "is asked for everything again", "error") end

--- Sends a command; its answer goes to the entry. A caller looks at `state` before.
-- @tparam string bytes
-- @tparam[opt] table entry `reply(link, value, entry)`, `lost(link, entry)`; with `is_last(link, value, entry)` it gets
-- answers until that is true
-- @treturn boolean whether it was sent; false where too much waits already
function link:send(bytes, entry)
  local wire = self.ws.wire
  if wire:buffered() > MAX_WAITING_BYTES then return false end
  -- First what may find no memory: a command without an entry would have each answer go to another one.
  self.pending[self.last + 1] = entry or NO_ENTRY
  wire:raw(bytes)
  self.last = self.last + 1
  return true
end

--- Takes a message of a channel.
-- @tparam string channel
-- @tparam string payload
-- @treturn ?boolean true where nothing more may be read
function link:message(channel, payload)
  self.events:message(channel, payload)
  return self.ws.state == "closed"
end

--- Takes any other push: the confirmation of a channel, as a rule.
-- @tparam table list
-- @treturn ?boolean true where nothing more may be read
function link:push(list)
  local entry = self.pending[self.first]
  if entry and entry.confirm and entry.confirm(self, list, entry) then self:done() end
  self.events:push(list)
  return self.ws.state == "closed"
end

--- Takes the first of what waits for an answer out.
function link:done()
  self.pending[self.first] = nil
  self.first = self.first + 1
  if self.first > self.last then self.first, self.last = 1, 0 end
end

--- Takes an answer.
-- @param value
-- @treturn ?boolean true where nothing more may be read
function link:reply(value)
  local entry = self.pending[self.first]
  if not entry then return give_up(self, "answers what was not asked", "protocol") end
  if not entry.is_last or entry.is_last(self, value, entry) then self:done() end
  local fault = resp.fault(value)
  if fault and self.state == "ready" and USELESS[match(fault, "^%S*")] then
    entry.lost(self, entry)
    return give_up(self, "can do nothing now: " .. fault, "refused")
  end
  entry.reply(self, value, entry)
  return self.ws.state == "closed"
end

--- Ends the connection for good; what is queued is sent before, as far as the socket takes it.
function link:close()
  self.is_closed = true
  self.context.timers:unplan(self)
  local ws = self.ws
  if ws then
    ws.wire:flush()
    lifecycle.abort(ws, "closed")
  end
  self.state = "closed"
end

return link
