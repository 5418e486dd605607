--- Handlers for specs.
-- @module spec.support.recorder
local recorder = {}

--- Make a handler that collects what happens to the connections of a subprotocol.
-- @tparam[opt] function also called with each ws, after the callbacks are set
-- @treturn function handler
-- @treturn table log: `ws` (all of them), `messages` ({ws, data, type}), `closed` ({ws, code, reason, clean, why})
function recorder.new(also)
  local log = { ws = {}, messages = {}, closed = {} }
  local function handler(ws)
    log.ws[#log.ws + 1] = ws
    ws:on_receive(function(...) log.messages[#log.messages + 1] = { ... } end)
    ws:on_closed(function(...) log.closed[#log.closed + 1] = { ... } end)
    if also then also(ws) end
  end
  return handler, log
end

--- Handler that sends each message back.
-- @tparam table ws
function recorder.echo(ws)
  ws:on_receive(function(from, data, kind) from:write(data, kind) end)
end

return recorder
