--- Event loops for the specs of the API of 2.x. A host is what `spec.support.client` and `spec.support.peer` take for a
-- server: it has `port` (set by the spec), `clients` and `pump`.
-- @module spec.support.two_x
local assert = require("luassert")
local client = require("spec.support.client")
local finder = require("spec.support.copas")
local libev = require("spec.support.libev")
local socket = require("socket")

local two_x = {}

local DEADLINE_SECONDS = 20
local STEP_SECONDS = 0.002
local LAST_TURNS = 3

local running = {}

local function new(turn, remove)
  local host = { clients = {}, kept = {} }

  -- Has the loop run until a condition holds; raises after twenty seconds.
  function host.pump(_, condition, what)
    local deadline = socket.gettime() + DEADLINE_SECONDS
    while true do
      local result = condition()
      if result then return result end
      if socket.gettime() > deadline then error("waited too long for " .. (what or "a condition"), 2) end
      turn()
    end
  end

  -- Has something closed with the host.
  function host.keep(_, one)
    host.kept[#host.kept + 1] = one
    return one
  end

  function host.stop()
    for _, one in ipairs(host.kept) do pcall(one.close, one) end
    for _, one in ipairs(host.clients) do one:close() end
    -- What they have begun ends.
    for _ = 1, LAST_TURNS do turn() end
    if remove then remove() end
  end

  running[#running + 1] = host
  return host
end

--- Gives a loop of lua-ev.
-- @treturn[1] table host, with `ev` and `loop`
-- @treturn[2] nil
-- @treturn[2] string why there is none, as a reason to skip
function two_x.ev()
  local ev, folder = libev.load()
  if not ev then return nil, folder end
  local loop = ev.Loop.new()
  local host = new(function()
    local timer = ev.Timer.new(function() loop:unloop() end, STEP_SECONDS)
    timer:start(loop)
    loop:loop()
    timer:stop(loop)
  end, function() libev.remove(folder) end)
  host.ev, host.loop = ev, loop
  return host
end

--- Gives copas, which has one loop.
-- @treturn[1] table host, with `copas`
-- @treturn[2] nil
-- @treturn[2] string why there is none, as a reason to skip
function two_x.copas()
  local copas, why = finder.load()
  if not copas then return nil, why end
  local host = new(function() copas.step(STEP_SECONDS) end)
  host.copas = copas
  return host
end

--- Ends all hosts, and what they keep; for `after_each`.
function two_x.stop_all()
  for i = #running, 1, -1 do
    running[i].stop()
    running[i] = nil
  end
end

--- Notes what a function prints.
-- @tparam function fn
-- @treturn {string,...} lines
function two_x.printed(fn)
  local lines, real = {}, print
  _G.print = function(...)
    local words = {}
    for i = 1, select("#", ...) do words[i] = tostring((select(i, ...))) end
    lines[#lines + 1] = table.concat(words, "\t")
  end
  local is_good, err = pcall(fn)
  _G.print = real
  if not is_good then error(err, 0) end
  return lines
end

--- Fails unless a server echoes messages of each size, with the subprotocol `echo` and without one.
-- @tparam table host
function two_x.assert_echoes(host)
  for _, protocol in ipairs({ "echo", false }) do
    local c = client.open(host, protocol or nil)
    assert.equal(protocol or nil, c.headers["sec-websocket-protocol"])
    for _, size in ipairs({ 0, 125, 126, 127, 65534, 65535, 65536, 300000 }) do
      c:text(("t"):rep(size))
      assert.same({ 1, ("t"):rep(size) }, { c:message() })
    end
    c:write(2, "\0\255")
    assert.same({ 2, "\0\255" }, { c:message() })
  end
end

return two_x
