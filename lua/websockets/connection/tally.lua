--- What is counted of the connections of a context where it happens, which is seldom: opening handshakes, openings,
-- ends, pings. What happens with each message is counted by the wires.
-- @module websockets.connection.tally
local histogram = require("websockets.histogram")

local tally = {}
tally.__index = tally

-- Peers choose numbers: of each kind so many are told apart.
local MAX_NUMBERS = 64
local ROUND_TRIP_SECONDS = { 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10 }

local function counts() return { by_number = {}, numbers = 0 } end

--- Makes counts of nothing.
-- @treturn tally `accepted`, `turned_away`, `given_up`: connections to a server; `opened`: WebSockets since the
-- beginning; `open`: those that are open now; `closes`: their ends by close code; `handshakes`: by role of this side
-- and status; `round_trips`: seconds from pings to their pongs
function tally.new()
  return setmetatable({
    accepted = 0, turned_away = 0, given_up = 0, opened = 0, open = 0, closes = counts(),
    handshakes = { server = counts(), client = counts() },
    round_trips = histogram.new(ROUND_TRIP_SECONDS), pings = {},
  }, tally)
end

local function add(kept, number)
  if not kept.by_number[number] and kept.numbers >= MAX_NUMBERS then number = "other" end
  local before = kept.by_number[number]
  if not before then kept.numbers = kept.numbers + 1 end
  kept.by_number[number] = (before or 0) + 1
end

--- Follows a connection that becomes an open WebSocket, or is one no more.
-- @tparam table ws
-- @tparam boolean is_open
function tally:follow(ws, is_open)
  if is_open then
    self.opened, self.open = self.opened + 1, self.open + 1
  else
    self.open = self.open - 1
    self.pings[ws] = nil
  end
end

--- Counts the answer to an opening handshake.
-- @tparam string role of this side, `server` or `client`
-- @tparam integer status
function tally:answered(role, status)
  add(self.handshakes[role], status)
end

--- Counts the end of a connection, if it was a WebSocket.
-- @tparam table ws with an outcome
function tally:ended(ws)
  -- While it waits for its next try a connection has no descriptor, and its end has been counted.
  if ws.phase or ws.fd == -1 then return end
  add(self.closes, ws.outcome.code)
end

--- Takes note of a ping. Of several that wait for a pong the first is measured.
-- @tparam table ws
-- @tparam string payload
function tally:pinged(ws, payload)
  if not self.pings[ws] then self.pings[ws] = { at = ws.context.clock(), payload = payload } end
end

--- Takes note of a pong; one that answers nothing is passed over.
-- @rfc 6455 5.5.3
-- @tparam table ws
-- @tparam string payload
function tally:ponged(ws, payload)
  local ping = self.pings[ws]
  if not ping or ping.payload ~= payload then return end
  self.pings[ws] = nil
  self.round_trips:observe(math.max(0, ws.context.now - ping.at))
end

return tally
