--- The game without its window: each player has a dot, and everybody sees all of them. The first program that runs is
-- the server, and plays as well; those that come later join it.
local websockets = require("websockets")

local dots = {}
dots.__index = dots

local ADDRESS = "127.0.0.1"
local TICK_SECONDS = 0.05
local WIDTH, HEIGHT = 480, 320

-- Whatever a peer sends: a position inside of the window, or nothing.
local function position_of(message)
  local x, y = message:match("^(%d+) (%d+)$")
  x, y = tonumber(x), tonumber(y)
  if x and x <= WIDTH and y <= HEIGHT then return { x = x, y = y } end
end

local function world_of(message)
  local world = {}
  for id, x, y in message:gmatch("(%d+) (%d+) (%d+)\n") do
    world[tonumber(id)] = { x = tonumber(x), y = tonumber(y) }
  end
  return world
end

-- The server's part: what a new player may do.
local function welcome(self, ws)
  self.last_id = self.last_id + 1
  local id = self.last_id
  self.players[id] = { x = WIDTH / 2, y = HEIGHT / 2 }
  ws:on_broadcast(websockets.WRITE_TEXT)
  ws:on_receive(function(_, message) self.players[id] = position_of(message) or self.players[id] end)
  ws:on_closed(function() self.players[id] = nil end)
  ws:write("you " .. id)
end

local function tell_all(self)
  local lines = {}
  for id, player in pairs(self.players) do lines[#lines + 1] = ("%d %d %d\n"):format(id, player.x, player.y) end
  self.context:broadcast("dots", table.concat(lines))
end

-- A context that listens, unless another program does already.
local function open(self, port)
  local is_good, context = pcall(websockets.context, {
    port = port, interf = ADDRESS, protocols = { dots = function(ws) welcome(self, ws) end },
  })
  self.is_host = is_good
  if not is_good and not tostring(context):find("in use", 1, true) then error(context, 0) end
  self.context = is_good and context or websockets.context({})
  if is_good then self.context:every(TICK_SECONDS, function() tell_all(self) end) end
end

--- Begins to play.
-- @tparam integer port
-- @treturn dots `is_host`; `me`: the player's own number, once it is known; `world`: number -> `x`, `y`
function dots.new(port)
  local self = setmetatable({ players = {}, last_id = 0, world = {}, me = false, is_host = false }, dots)
  open(self, port)
  self.ws = assert(self.context:connect(("ws://%s:%d/"):format(ADDRESS, port), {
    protocols = { "dots" }, reconnect = { max = 1 }, proxy = false,
  }))
  self.ws:on_receive(function(_, message)
    local me = message:match("^you (%d+)$")
    if me then self.me = tonumber(me) else self.world = world_of(message) end
  end)
  return self
end

--- Moves one's own dot.
-- @tparam number x 0 to 480
-- @tparam number y 0 to 320
function dots:move(x, y)
  if self.me then self.ws:write(("%d %d"):format(math.floor(x), math.floor(y))) end
end

--- Does what has come; once a frame.
function dots:update()
  self.context:service(0)
end

--- Ends the game of this player; that of the server ends it for all.
function dots:close()
  self.context:destroy()
end

return dots
