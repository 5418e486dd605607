--- Run it twice, for two windows: `love examples/love-dots`, or the `.love` that `pack.sh` makes.
-- In a clone the library is beside the examples; in a `.love` it is inside.
package.path = love.filesystem.getSource() .. "/../../lua/?.lua;" .. package.path

local dots = require("dots")

local SPEED = 200
local WIDTH, HEIGHT = 480, 320
local game
local x, y = WIDTH / 2, HEIGHT / 2

local function clamp(value, most) return math.max(0, math.min(most, value)) end

function love.load(arguments)
  game = dots.new(tonumber(arguments[1]) or 8002)
end

function love.update(dt)
  local down = love.keyboard.isDown
  local old_x, old_y = x, y
  x = clamp(x + ((down("right") and 1 or 0) - (down("left") and 1 or 0)) * SPEED * dt, WIDTH)
  y = clamp(y + ((down("down") and 1 or 0) - (down("up") and 1 or 0)) * SPEED * dt, HEIGHT)
  if x ~= old_x or y ~= old_y then game:move(x, y) end
  game:update()
end

function love.mousemoved(mouse_x, mouse_y)
  x, y = clamp(mouse_x, WIDTH), clamp(mouse_y, HEIGHT)
  game:move(x, y)
end

function love.draw()
  love.graphics.print(game.is_host and "server and player" or "player", 8, 8)
  for id, player in pairs(game.world) do
    love.graphics.setColor(id == game.me and { 1, 0.8, 0.2 } or { 0.4, 0.7, 1 })
    love.graphics.circle("fill", player.x, player.y, 12)
    love.graphics.setColor(1, 1, 1)
    love.graphics.print(tostring(id), player.x - 4, player.y - 7)
  end
end

function love.quit()
  game:close()
end
