--- A back plane of one's own inside the spec: contexts on one bus. Messages wait until the spec hands them on.
-- @module spec.support.bus
local bus = {}
bus.__index = bus

--- Makes a bus.
-- @treturn bus `log`: what the contexts asked of it, in words; `sent`: messages that wait
function bus.new()
  return setmetatable({ ends = {}, log = {}, sent = {} }, bus)
end

--- Makes the option `backplane` of a context on this bus.
-- @tparam[opt] table changes more of its fields
-- @treturn table
function bus:plane(changes)
  local all, one = self, { channels = {} }
  local function note(...) all.log[#all.log + 1] = table.concat({ ... }, " ") end
  function one.open(itself, receive, context)
    assert(itself == one and context.agenda)
    one.receive = receive
    all.ends[#all.ends + 1] = one
    note("open")
  end
  function one.publish(_, channel, bytes) all.sent[#all.sent + 1] = { channel, bytes } end
  function one.subscribe(_, channel)
    one.channels[channel] = true
    note("+", channel)
  end
  function one.unsubscribe(_, channel)
    one.channels[channel] = nil
    note("-", channel)
  end
  function one.close() note("close") end
  for name, value in pairs(changes or {}) do one[name] = value end
  return one
end

--- Hands on what waits, to every end that is subscribed, the one that sent it included.
function bus:step()
  local sent = self.sent
  self.sent = {}
  for _, message in ipairs(sent) do
    for _, one in ipairs(self.ends) do
      if one.channels[message[1]] then one.receive(message[1], message[2]) end
    end
  end
end

return bus
