function love.conf(t)
  t.identity = "websockets-dots"
  t.window.title = "dots"
  t.window.width, t.window.height = 480, 320
end
