--- The fields of contexts, connections and wires that specs look at: no other file of the specs names them.
-- @module spec.support.inside

local lifecycle = require("websockets.connection.lifecycle")

local inside = {}

--- How many connections a context serves, in any state.
-- @tparam table context
-- @treturn number
function inside.connections(context)
  return context.connection_count
end

--- The connections that a context serves, in any state.
-- @tparam table context
-- @treturn table set of ws
function inside.all(context)
  local all = {}
  for _, owner in pairs(context.owners) do
    if owner.wire then all[owner] = true end
  end
  return all
end

--- How many bytes wait to be sent on all connections together.
-- @tparam table context
-- @treturn number
function inside.buffered(context)
  return context.wire_class.buffered_total(context.hub)
end

--- How many bytes of topics wait beside the queues of all connections together.
-- @tparam table context
-- @treturn number
function inside.backlog(context)
  return context.subscriptions and context.subscriptions.backlog.bytes or 0
end

--- How many topics of a context have subscribers.
-- @tparam table context
-- @treturn number
function inside.topics(context)
  return context.subscriptions and context.subscriptions.topic_count or 0
end

--- The channels of the topics that have subscribers, of a context with a back plane of its own.
-- @tparam table context
-- @treturn table topic -> channel
function inside.channels(context)
  local channels = {}
  for topic in pairs(context.subscriptions.topics) do channels[topic] = context.pubsub.plane:channel_of(topic) end
  return channels
end

--- Whether the server of a back plane can be reached.
-- @tparam table context
-- @treturn boolean
function inside.is_plane_up(context)
  return context.pubsub.plane.is_up
end

--- How many messages are kept in memory for topics with a history.
-- @tparam table context
-- @treturn number
function inside.kept(context)
  local store, count = context.pubsub and context.pubsub.store, 0
  for _, topic in pairs(store and store.topics or {}) do count = count + topic.last - topic.first + 1 end
  return count
end

--- How many timers of a context are running.
-- @tparam table context
-- @treturn number
function inside.timers(context)
  local count = 0
  for _, queue in pairs(context.timers.queues) do count = count + queue.live end
  return count
end

--- How many bytes unfinished messages hold on all connections together.
-- @tparam table context
-- @treturn number
function inside.budget(context)
  return context.budget:used()
end

--- Let the poller watch fewer descriptors than it can; for the one that uses select.
-- @tparam table context
-- @tparam number limit the first descriptor that it cannot watch
function inside.limit_poller(context, limit)
  context.poller.limit = limit
end

--- The options that a context works with: those given, and the defaults of the others.
-- @tparam table context
-- @treturn table option name -> value; a change takes effect
function inside.settings(context)
  return context.settings
end

--- Whether `destroy` has taken effect.
-- @tparam table context
-- @treturn boolean
function inside.is_destroyed(context)
  return context.destroyed
end

--- Whether `destroy` is at work, or has been called inside a callback.
-- @tparam table context
-- @treturn boolean
function inside.is_dying(context)
  return context.destroying and not context.destroyed
end

--- Whether a turn is going on.
-- @tparam table context
-- @treturn boolean
function inside.is_busy(context)
  return context.busy
end

--- What a context without connections still holds of connections that have ended.
-- @tparam table context
-- @treturn number how many are waited for, or are noted as full
function inside.leftovers(context)
  local poller, count = context.poller, context.agenda.blocked_count
  return count + (poller.reading and #poller.reading + #poller.writing or 0)
end

--- Replace the clock of a context.
-- @tparam table context
-- @tparam function change called with the present clock, returns the new one
function inside.set_clock(context, change)
  context.clock = change(context.clock)
end

--- Replace some functions of a context's engine or poller.
-- @tparam table context
-- @tparam string part `engine` or `poller`
-- @tparam table functions name -> function
-- @treturn function undoes it
function inside.replace(context, part, functions)
  local real = context[part]
  context[part] = setmetatable(functions, { __index = real })
  return function() context[part] = real end
end

--- Have a function called once when the next turn comes to its end, before anything is sent.
-- @tparam table context
-- @tparam function fn
function inside.before_the_end(context, fn)
  local hub = context.hub
  local flush = hub.flush
  function hub.flush(...)
    -- The end of a turn calls what it has found at its beginning, more than once.
    local is_first = hub.flush ~= flush
    hub.flush = flush
    if is_first then fn() end
    return flush(...)
  end
end

--- Record what a context asks of its listener.
-- @tparam table context
-- @treturn table `accepts`: how often connections were accepted; `watched`: each change of being watched;
--   `is_resting`: function
function inside.record_listener(context)
  local listener = context.listener
  local record = { accepts = 0, watched = {}, is_resting = function() return listener.resting end }
  local accept, watch = listener.accept, listener.watch
  function listener.accept(self)
    record.accepts = record.accepts + 1
    return accept(self)
  end
  function listener.watch(self, is_on)
    record.watched[#record.watched + 1] = is_on
    return watch(self, is_on)
  end
  return record
end

--- Let accepting fail as the system would have it.
-- @tparam table context
-- @tparam {string,...} words taken from the front, one for each try: `lost`, `no memory`
-- @treturn function undoes it
function inside.fail_accepts(context, words)
  local listener, wires = context.listener, context.wire_class
  local methods = getmetatable(listener.socket).__index
  local accept = methods.accept
  local function try(texts, real, self, ...)
    local word = table.remove(words, 1)
    if word then return nil, texts[word] end
    return real(self, ...)
  end
  function methods.accept(self, ...)
    if self ~= listener.socket then return accept(self, ...) end
    return try({ lost = "Protocol error", ["no memory"] = "Cannot allocate memory" }, accept, self, ...)
  end
  if listener.wires then
    inside.replace(context, "wire_class", { accept = function(hub, ...)
      local source = { accept = function(_, ...)
        return try({ lost = "closed", ["no memory"] = "out of memory" }, hub.source.accept, hub.source, ...)
      end }
      return wires.accept({ source = source }, ...)
    end })
  end
  return function() methods.accept = accept end
end

--- Let the next waits of a context fail, as they do where the system is short of memory.
-- @tparam table context
-- @tparam integer count
function inside.fail_waits(context, count)
  local real = context.poller
  local is_native = context.engine.name == "native"
  inside.replace(context, "poller", { wait = function(...)
    if count == 0 then return real.wait(...) end
    count = count - 1
    if not is_native then error("select failed") end
    return -1, 0
  end })
end

--- Note when LuaSocket accepts: it loses the descriptor where it finds no memory for its object.
-- @tparam table context
-- @tparam table record `accepting`: how many calls have not returned
function inside.watch_accept(context, record)
  local listener, real = context.listener, context.listener.socket
  listener:watch(false)
  listener.socket = {
    accept = function()
      record.accepting = record.accepting + 1
      local socket, why = real:accept()
      record.accepting = record.accepting - 1
      return socket, why
    end,
    getfd = function() return real:getfd() end,
    dirty = function() return false end,
    close = function() return real:close() end,
  }
  listener:watch(true)
end

--- The owners of the messages that a turn has read and still has to deliver.
-- @tparam table context
-- @treturn table list
function inside.owners_to_deliver(context)
  return context.delivery.many.takers
end

--- What the poller reports for a connection, or for the listener, that can be read.
-- @tparam table context
-- @tparam ?table ws nil: the listener
-- @treturn any
function inside.token(context, ws)
  local owner = ws or context.listener
  return context.engine.name == "native" and owner.fd or owner
end

--- What `inside.read` calls the listener.
-- @tparam table context
-- @treturn table
function inside.listener(context)
  return context.listener
end

--- Read messages of many connections at once.
-- @tparam table context
-- @tparam table readable list of `inside.token`
-- @tparam number first
-- @tparam number last
-- @tparam table takers filled with what each message came from
-- @tparam table opcodes filled
-- @tparam table payloads filled
-- @treturn number how many were read
-- @treturn number the next place in `readable`
function inside.read(context, readable, first, last, takers, opcodes, payloads)
  local hub = context.hub
  return hub.read(hub.source, readable, first, last, context.owners, takers, opcodes, payloads)
end

--- Count the calls that send bytes, by connections in WebSocket state.
-- @tparam table context
-- @tparam[opt] table ws an open connection; without the accelerator only its calls count
-- @treturn function tells how many there were since
function inside.count_sends(context, ws)
  local source = context.hub.source
  if type(source) == "userdata" then
    local before = select(3, source:totals())
    return function() return select(3, source:totals()) - before end
  end
  local transport, sends = ws.wire.transport, 0
  local send = transport.send
  function transport.send(...)
    sends = sends + 1
    return send(...)
  end
  return function() return sends end
end

--- Let it be as if the peer had shown no sign of life since the last ping.
-- @tparam table ws
function inside.forget_signs_of_life(ws)
  ws.has_taken = nil
  ws.wire:heard()
end

--- Let every frame of a connection fail for want of random bytes.
-- @tparam table ws
function inside.fail_encoding(ws)
  local real = ws.wire
  ws.wire = setmetatable({ push = function() return nil, "entropy" end }, { __index = function(_, name)
    return name ~= "transport" and function(_, ...) return real[name](real, ...) end or nil
  end })
end

--- The file that is being sent as an answer.
-- @tparam table ws
-- @treturn file
function inside.sent_file(ws)
  return ws.phase.file
end

--- How much of the file that is being sent as an answer has not been read yet.
-- @tparam table ws
-- @treturn function tells the number of bytes
function inside.file_bytes_left(ws)
  local exchange = ws.phase
  return function() return exchange.left end
end

--- Look a host name up beside the loop, as connecting does with the accelerator.
-- @tparam table context
-- @tparam string name
-- @treturn userdata wire that the answer comes through
function inside.look_up(context, name)
  return context.wire_class.look_up(context.hub, name)
end

--- Take the socket of a connection for another transport, as TLS does.
-- @tparam table ws
-- @treturn table|userdata
function inside.detach(ws)
  require("websockets.connection.descriptor").unwatch(ws)
  return require("websockets.connection.connection").detach(ws)
end

--- Have a connection that is not open yet begin its steps anew, as a redirect does.
-- @tparam table ws
-- @tparam string text URL
function inside.dial_again(ws, text)
  ws.phase:start_again(ws, assert(require("websockets.protocol.url").parse(text)))
end

--- Have a connection break, as where the system ends it.
-- @tparam table ws
function inside.break_off(ws)
  lifecycle.abort(ws, "reset")
end

-- The first thing that is wrong with one topic, and how many subscribers it has.
local function find_wrong_members(index, name, topic)
  if topic.count < 1 then return name .. " is there without subscribers" end
  for place = 1, topic.count do
    local places = topic[place] and index.places[topic[place]]
    if not places then return ("%s has no subscriber at %d of %d"):format(name, place, topic.count) end
    local ws = index:owner(topic[place])
    if index:place(ws, name) ~= place then return ("%s has a subscriber with another place"):format(name) end
    if ws.state ~= "open" then return ("%s has a subscriber that is %s"):format(name, ws.state) end
  end
end

-- Whether the connections have the topics that their places name.
local function find_wrong_places(index)
  for wire, places in pairs(index.places) do
    local count = 0
    for name, place in pairs(places) do
      if type(name) == "string" then
        count = count + 1
        if not index.topics[name] or index.topics[name][place] ~= wire then return "a place is not that of " .. name end
      end
    end
    if count ~= places[1] or count == 0 then return ("%d topics, counted as %d"):format(count, places[1]) end
  end
end

--- Look for a topic that is kept in memory and has no timer that would take it out.
-- @tparam table context
-- @treturn ?string what is wrong
function inside.find_wrong_history(context)
  local store = context.pubsub and context.pubsub.store
  for name, topic in pairs(store and store.topics or {}) do
    local is_running = topic.slot and context.timers:is_running(topic.lane, topic.slot)
    if not is_running then return name .. " is kept for ever" end
  end
end

--- Look for what a context keeps of topics with a history in Redis, where no connection joins one and all messages are
-- answered.
-- @tparam table context
-- @treturn ?string what is wrong
function inside.find_wrong_store(context)
  local plane = context.pubsub.plane
  local store = plane.store
  if next(store.joining) then return "JOINS for ever" end
  if store.lanes.count ~= 0 or store.lanes.bytes ~= 0 then return "LANES of " .. store.lanes.count end
  local window = store.questions.short
  if window.count ~= 0 or window.last >= window.first then return "QUESTIONS " .. window.count end
  for name in pairs(store.states) do
    if not context.subscriptions.topics[name] then return "STATE of " .. name end
  end
  for channel, uses in pairs(plane.uses) do
    local name = plane.names[channel]
    if uses ~= 1 or not (name and context.subscriptions.topics[name]) then
      return ("USES of %s: %d"):format(channel, uses)
    end
  end
end

--- Look for what does not fit together in the topics of a context whose connections have taken all that was queued.
-- @tparam table context
-- @treturn ?string what is wrong
function inside.find_wrong_topic(context)
  local index, total, topics = context.subscriptions, 0, 0
  if not index then return nil end
  for name, topic in pairs(index.topics) do
    local wrong = find_wrong_members(index, name, topic)
    if wrong then return wrong end
    topics, total = topics + 1, total + topic.count
  end
  local wrong = find_wrong_places(index)
  if wrong then return wrong end
  if index.topic_count ~= topics then return ("%d topics, counted as %d"):format(topics, index.topic_count) end
  if index.total ~= total then return ("%d subscriptions, counted as %d"):format(total, index.total) end
  if next(index.backlog.lists) then return "something waits in a backlog" end
  if index.backlog.bytes ~= 0 then return ("a backlog of %d bytes"):format(index.backlog.bytes) end
  if context.agenda.drops.count ~= 0 then return "drops are not told" end
  return inside.find_wrong_history(context)
end

return inside
