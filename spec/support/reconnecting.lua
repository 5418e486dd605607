--- Connections with the option `reconnect`, and what becomes of them.
-- @module spec.support.reconnecting
local reconnecting = {}

--- Tries that come soon.
reconnecting.QUICK = { min = 0.001, max = 0.01 }
--- A next try that does not come.
reconnecting.NEVER = { min = 1000, max = 1000 }

--- Connect, and note what happens.
-- @tparam table s of `spec.support.server`
-- @tparam number|string port of 127.0.0.1, or a URL
-- @tparam[opt=QUICK] table reconnect
-- @tparam[opt] table options others of `context:connect`
-- @treturn table ws
-- @treturn table log: `opened` (`again` of each), `waits` ({delay, why, code, reason}), `messages` (data), `closed`
-- ({code, reason, clean, why})
function reconnecting.connect(s, port, reconnect, options)
  local all = { reconnect = reconnect or reconnecting.QUICK }
  for name, value in pairs(options or {}) do all[name] = value end
  local log = { opened = {}, waits = {}, messages = {}, closed = {} }
  local url = tonumber(port) and ("ws://127.0.0.1:%d/"):format(port) or port
  local ws = s.context:connect(url, all)
  ws:on_open(function(_, again) log.opened[#log.opened + 1] = again end)
  ws:on_reconnect(function(_, ...) log.waits[#log.waits + 1] = { ... } end)
  ws:on_receive(function(_, data) log.messages[#log.messages + 1] = data end)
  ws:on_closed(function(_, ...) log.closed[#log.closed + 1] = { ... } end)
  return ws, log
end

--- Serve until a list of the log has so many entries, or more.
-- @tparam table s of `spec.support.server`
-- @tparam table list
-- @tparam[opt=1] number count
function reconnecting.await(s, list, count)
  s:pump(function() return #list >= (count or 1) end, (count or 1) .. " entries in the log")
end

--- The payloads of so many messages that a client sends, or more.
-- @tparam table p of `spec.support.peer`, which has accepted
-- @tparam number count
-- @treturn {string,...}
function reconnecting.messages_of(p, count)
  local list, batch = {}, {}
  p.server:pump(function()
    p:poll()
    local read = p.reader:feed(p.buffer, batch)
    p.buffer = ""
    for i = 1, read do list[#list + 1] = batch[2 * i] end
    return #list >= count
  end, count .. " messages")
  return list
end

return reconnecting
