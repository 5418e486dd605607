--- The wire of a connection that has none at the moment: nothing comes and nothing goes.
-- @module websockets.wire.nowhere
local nowhere = {}

--- Reads nothing.
-- @treturn nil
-- @treturn string `timeout`
function nowhere.receive() return nil, "timeout" end

--- Sends nothing.
-- @treturn integer 0
-- @treturn boolean false
function nowhere.flush() return 0, false end

--- Tells how much waits.
-- @treturn integer 0
function nowhere.buffered() return 0 end

--- Tells whether bytes have come.
-- @treturn boolean false
function nowhere.heard() return false end

--- Names no descriptor.
-- @treturn integer -1
function nowhere.getfd() return -1 end

--- Names no peer.
-- @treturn string ""
-- @treturn integer 0
function nowhere.peer() return "", 0 end

--- Holds nothing to be given back.
function nowhere.release() end

--- Has nothing to end.
function nowhere.close() end

return nowhere
