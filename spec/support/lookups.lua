--- A program that looks up names while `spec/fixtures/resolver.c` holds the answers back: `lookups.lua scenario`.
-- @script lookups

local inside = require("spec.support.inside")

local URL = "ws://gated.invalid:%d/"
local THREADS = 8

local scenarios = {}

local gate = assert(io.open(os.getenv("RESOLVER_GATE"), "r+"))
gate:setvbuf("no")

local function say(...)
  io.stdout:write(table.concat({ ... }, " "), "\n")
  io.stdout:flush()
end

-- Lets so many look-ups have their answer.
local function let(count)
  gate:write(("x"):rep(count))
end

local function count_threads()
  for line in io.lines("/proc/self/status") do
    local count = line:match("^Threads:%s*(%d+)")
    if count then return tonumber(count) end
  end
end

local function await_threads()
  repeat until count_threads() == 1
  say("no threads left")
end

local function make_context(options)
  options.port, options.interf = "any", "127.0.0.1"
  options.default = function(ws)
    ws:on_receive(function(from, data) from:write(data) end)
  end
  return require("websockets").context(options)
end

local function connect(context, url, options)
  local ws = assert(context:connect(url:format(context:get_port()), options))
  ws:on_open(function() say("open", (ws:get_peer_addresses())) end)
  ws:on_closed(function(_, code, reason, _, why) say("closed", code, reason, why) end)
  return ws
end

--- An echo is served while a look-up goes on; then the name's second address answers.
function scenarios.meanwhile()
  local context = make_context({})
  local answered = 0
  local near = connect(context, "ws://127.0.0.1:%d/")
  near:on_open(function() near:write("0") end)
  near:on_receive(function(_, data)
    answered = tonumber(data) + 1
    if answered < 10 then near:write(tostring(answered)) end
  end)
  local far = connect(context, URL)
  assert(far:get_peer_addresses() == "")
  far:on_receive(function(_, data)
    say("echo", data)
    context:stop()
  end)
  while answered < 10 do context:service(-1) end
  say("answered", answered)
  local opened = far.open_handler
  far:on_open(function()
    opened()
    far:write("hello")
  end)
  let(1)
  context:run()
  context:destroy()
end

--- A connection that is opened again has its name looked up again.
function scenarios.again()
  local context = make_context({})
  local ws = connect(context, URL, { reconnect = { min = 0.001, max = 0.001 } })
  ws:on_open(function(_, is_again)
    say("open", tostring(is_again))
    if is_again then context:stop() else inside.break_off(ws) end
  end)
  ws:on_reconnect(function()
    say("away")
    context:after(0.05, function()
      say("look-up", ws.state)
      let(1)
    end)
  end)
  let(1)
  context:run()
  context:destroy()
end

--- The same under an outside loop, which watches for reading only.
function scenarios.outside()
  local socket = require("socket")
  local watched, is_done = {}, false
  local context = make_context({
    on_add_fd = function(fd) watched[#watched + 1] = { fd = fd, getfd = function() return fd end } end,
    on_del_fd = function(fd)
      for i, one in ipairs(watched) do
        if one.fd == fd then return table.remove(watched, i) end
      end
      error("not watched: " .. fd)
    end,
  })
  local ws = connect(context, URL)
  ws:on_receive(function(_, data)
    say("echo", data)
    is_done = true
  end)
  let(1)
  ws:on_open(function() ws:write("hello") end)
  while not is_done do
    for _, one in ipairs((socket.select(watched, nil, context:timeout()))) do context:service_fd(one.fd) end
  end
  context:destroy()
  say("left", #watched)
end

--- The look-up belongs to the time that connecting may take.
function scenarios.timeout()
  local context = make_context({})
  connect(context, URL, { timeout = 3 })
  local now
  inside.set_clock(context, function(clock)
    now = clock()
    return function() return now end
  end)
  local start = now
  for _, seconds in ipairs({ 2.9, 3.1 }) do
    now = start + seconds
    say("after", seconds)
    context:service(0)
  end
  let(1)
  await_threads()
end

--- The connections that wait for the answer have ended.
function scenarios.abandoned()
  local context = make_context({})
  local ws = connect(context, URL)
  connect(context, URL)
  ws:close()
  context:service(0)
  context:destroy()
  let(2)
  await_threads()
end

--- More look-ups than threads; one that is given up before its turn takes no thread's time.
function scenarios.many()
  local context = make_context({})
  local opened, all = 0, {}
  for i = 1, THREADS + 4 do
    all[i] = context:connect(URL:format(context:get_port()))
    all[i]:on_open(function() opened = opened + 1 end)
  end
  say("threads", count_threads() - 1)
  all[THREADS + 2]:close()
  all[THREADS + 4]:close()
  context:service(0)
  let(THREADS + 2)
  while opened < THREADS + 2 do context:service(-1) end
  await_threads()
  connect(context, URL):on_open(function() opened = opened + 1 end)
  let(1)
  while opened < THREADS + 3 do context:service(-1) end
  context:destroy()
end

local function is_loaded()
  for line in io.lines("/proc/self/maps") do
    if line:find("websockets_native", 1, true) then return true end
  end
  return false
end

--- Lua closes its modules while threads run in them.
function scenarios.states()
  local run = require("states").run
  assert(not is_loaded())
  run([[require("websockets_native")]])
  say("loaded", tostring(is_loaded()))
  for i = 1, 100 do
    local name = i <= THREADS / 2 and "gated.invalid" or "localhost"
    assert(run(([[return type(require("websockets_native").look_up(%q))]]):format(name)) == "number")
  end
  let(THREADS / 2)
  await_threads()
end

scenarios[arg[1]]()
say("end")
