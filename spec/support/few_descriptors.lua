--- A program that runs out of descriptors while it serves; `listener_spec` starts it with a low limit.
-- It prints one line for each fact, `name=value`.
-- @script few_descriptors
package.path = "lua/?.lua;lua/?/init.lua;./?.lua;" .. package.path

local client = require("spec.support.client")
local inside = require("spec.support.inside")
local server = require("spec.support.server")

local PEERS = 34
local warnings = 0
local run = server.start({
  protocols = { echo = server.echo }, on_http = function(ws) ws:serve_http_file("README.md") end,
  log = function(level) if level == "warning" then warnings = warnings + 1 end end,
})
local context = run.context
run:fake_time()

-- What each turn asks of the listener, to see that it rests.
local listener = inside.record_listener(context)

local function tell(name, value) print(name .. "=" .. tostring(value)) end

-- Waits for bytes of its own only while it opens: what comes later is asked for by `poll`.
local function try_to_open()
  local peer = client.connect(run)
  peer:send(client.upgrade({ protocol = "echo" }))
  return peer
end

local first = client.open(run, "echo")
-- Masking takes random bytes, and those a descriptor: not to be had later.
local message = first:frame(1, "still here")
local reader = client.connect(run)
reader:send(client.request("/"))
tell("file_before", (reader:response()))
-- Files take the descriptors: connections that wait for them would have this one given up.
local files, file = {}
repeat
  file = io.open("/dev/null")
  files[#files + 1] = file
until not file
reader:send(client.request("/"))
tell("file_meanwhile", (reader:response()))
for _, one in ipairs(files) do one:close() end
reader:close()
run:settle()
local peers = {}
for i = 1, PEERS do peers[i] = try_to_open() end
run:settle()
tell("refused", listener.is_resting())
tell("warnings", warnings)
tell("unwatched", listener.watched[1])

local turned_away = 0
for i = 1, PEERS do
  peers[i]:poll()
  if peers[i]:take():find("^HTTP/1%.1 503 ") and peers[i].ended then turned_away = turned_away + 1 end
end
tell("turned_away", turned_away)

local before = listener.accepts
run:turns(100)
tell("accepts_while_resting", listener.accepts - before)
first:send(message)
tell("echo", select(2, first:message()))

local held = inside.connections(context)
for i = 1, PEERS / 2 do peers[i]:close() end
run:settle()
tell("freed", inside.connections(context) < held)
before = inside.connections(context)
-- The row holds peers that are gone: taking those may fill the table once more.
for _ = 1, 4 do
  run:advance(1)
  run:settle()
end
tell("watched_again", listener.watched[2])
tell("took_more", inside.connections(context) > before)
local last = client.open(run, "echo")
last:text("new")
tell("new", select(2, last:message()))
server.stop_all()
