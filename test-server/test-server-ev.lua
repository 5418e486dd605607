--- Test server under lua-ev: `lua test-server/test-server-ev.lua [test-server/ [port [address]]]`.
-- It watches sockets only for reading, as the programs of 2012 did.
-- @script test-server-ev

local here = arg[0]:match("^.*[/\\]") or "./"
package.path = here .. "../lua/?.lua;" .. here .. "../lua/?/init.lua;" .. package.path
io.stdout:setvbuf("line")

local ev = require "ev"
local websockets = require "websockets"
local demo = dofile(here .. "demo.lua")

local loop = ev.Loop.default
local watchers = {}
-- Declared first, because on_add_fd is called for the listening socket before `context` is assigned.
local context

local function on_add_fd(fd)
  watchers[fd] = ev.IO.new(function(_, _, revents)
    context:service_fd(fd, revents)
  end, fd, ev.READ)
  watchers[fd]:start(loop)
end

local function on_del_fd(fd)
  watchers[fd]:stop(loop)
  watchers[fd] = nil
end

context = demo.context(websockets, demo.arguments(arg, here), { on_add_fd = on_add_fd, on_del_fd = on_del_fd })

demo.run(context, function()
  local timer = ev.Timer.new(function()
    demo.tick(context)
  end, demo.TICK_SECONDS, demo.TICK_SECONDS)
  timer:start(loop)
  loop:loop()
end)
