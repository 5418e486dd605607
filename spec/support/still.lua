--- A server whose time stands still, and what keepalive specs look at.
-- @module spec.support.still
local assert = require("luassert")
local client = require("spec.support.client")
local server = require("spec.support.server")

local unpack = table.unpack or unpack

local still = {}

--- Starts one, with an open peer.
-- @tparam table options of the context
-- @tparam[opt] function also for `server.recorder`
-- @treturn table server
-- @treturn table log of the recorder
-- @treturn table client
function still.start(options, also)
  local handler, log = server.recorder(also)
  options.protocols = { echo = handler }
  local run = server.start(options)
  run:fake_time()
  return run, log, client.open(run, "echo")
end

--- Lets time pass in steps in which no deadline is lost.
-- @tparam table run server
-- @tparam integer seconds
-- @tparam[opt] function each called after every second
function still.pass(run, seconds, each)
  for _ = 1, seconds do
    run:advance(1)
    if each then each() end
  end
end

--- Fails unless the one connection has ended for want of signs of life.
-- @tparam table run server
-- @tparam table log
function still.assert_timed_out(run, log)
  run:settle()
  assert.equal(1, #log.closed)
  assert.same({ 1006, "", false, "timeout" }, { unpack(log.closed[1], 2, 5) })
  assert.equal(-1, log.ws[1]:get_socket_fd())
end

return still
