--- Every kind of loop that may serve a context, for one scenario that runs under each: `hosts.NAMES` and `hosts.start`.
-- @module spec.support.hosts
--
-- A host is a table with `attach(context)`, `turn(ms)` (waits so long at most, and serves), and for outside loops
-- `waits()`: whether the loop still waits for anything; `own_wakes`: how often a second it wakes by itself.
local finder = require("spec.support.copas")
local inside = require("spec.support.inside")
local libev = require("spec.support.libev")
local loops = require("spec.support.loops")
local server = require("spec.support.server")
local socket = require("socket")

local hosts = {}

--- All hosts.
hosts.NAMES = {
  "service", "run", "select with context:selectable", "an own select loop", "lua-ev", "luv", "cqueues", "copas",
}

--- Those that call a context, which is attached to nothing.
hosts.CALLS = { service = true, run = true, ["select with context:selectable"] = true }

local MAKE = {}

-- A loop that watches nothing any more ends before this.
local ENDS_SECONDS = 1

-- Contexts that serve themselves.
local function serving(serve)
  local contexts = {}
  return {
    attach = function(context) contexts[#contexts + 1] = context end,
    turn = function(ms)
      for _, context in ipairs(contexts) do
        if not inside.is_destroyed(context) then serve(context, ms / #contexts) end
      end
    end,
  }
end

MAKE.service = function()
  return serving(function(context, ms) context:service(ms) end)
end

MAKE.run = function()
  return serving(function(context, ms)
    local timer = context:after(math.max(ms / 1000, 0.0001), function() context:stop() end)
    context:run()
    timer:cancel()
  end)
end

MAKE["select with context:selectable"] = function()
  local contexts = {}
  return {
    attach = function(context) contexts[#contexts + 1] = context end,
    turn = function(ms)
      local reads, writes, wait = {}, {}, ms / 1000
      local function add(list, more)
        for _, one in ipairs(more) do list[#list + 1] = one end
      end
      for _, context in ipairs(contexts) do
        if not inside.is_destroyed(context) then
          local to_read, to_write = context:selectable()
          add(reads, to_read)
          add(writes, to_write)
          wait = math.min(wait, context:timeout() or wait)
        end
      end
      socket.select(reads, writes, wait)
      for _, context in ipairs(contexts) do
        if not inside.is_destroyed(context) then context:service(0) end
      end
    end,
  }
end

MAKE["an own select loop"] = function()
  local all = {}
  return {
    attach = function(context)
      all[#all + 1] = loops.attach(context)
      return all[#all].attachment
    end,
    turn = function(ms)
      for _, one in ipairs(all) do one:turn(ms / #all) end
    end,
    waits = function()
      local count = 0
      for _, one in ipairs(all) do count = count + one:watched() + (one.due and 1 or 0) end
      return count > 0
    end,
  }
end

-- The loop runs until a context was served, or the time is over.
MAKE["lua-ev"] = function()
  local ev, folder = libev.load()
  if not ev then return nil, folder end
  local loop = ev.Loop.new()
  local is_over
  local function run(seconds, is_daemon)
    is_over = false
    local timer = ev.Timer.new(function()
      is_over = true
      loop:unloop()
    end, seconds)
    loop:update_now()
    timer:start(loop, is_daemon)
    loop:loop()
    timer:stop(loop)
  end
  return {
    attach = function(context) return require("websockets.loop.ev").attach(context, loop) end,
    served = function() loop:unloop() end,
    turn = function(ms) run(ms / 1000) end,
    waits = function()
      run(ENDS_SECONDS, true)
      return is_over
    end,
    remove = function() libev.remove(folder) end,
  }
end

MAKE.luv = function()
  local uv = require("spec.support.luv").library()
  if not uv then return nil, "needs lua-luv" end
  local timer = uv.new_timer()
  return {
    attach = function(context) return require("websockets.loop.luv").attach(context, uv) end,
    served = uv.stop,
    turn = function(ms)
      uv.update_time()
      timer:start(math.ceil(ms), 0, function() uv.stop() end)
      uv.run()
      timer:stop()
    end,
    waits = function()
      -- Handles that were closed are gone after the next turn of the loop.
      uv.run("nowait")
      return uv.loop_alive()
    end,
    remove = function()
      timer:close()
      uv.run("nowait")
      local left = {}
      uv.walk(function(handle) left[#left + 1] = tostring(handle) end)
      assert(#left == 0, table.concat(left, ", "))
    end,
  }
end

MAKE.cqueues = function()
  local is_there, cqueues = pcall(require, "cqueues")
  if not is_there then return nil, "needs lua-cqueues" end
  local loop = cqueues.new()
  return {
    attach = function(context) return require("websockets.loop.cqueues").attach(context, loop) end,
    turn = function(ms) assert(loop:step(ms / 1000)) end,
    waits = function()
      -- Threads that have been told to end do so in the next turns of the loop.
      for _ = 1, 3 do assert(loop:step(0)) end
      return not loop:empty()
    end,
  }
end

MAKE.copas = function()
  local copas, why = finder.load()
  if not copas then return nil, why end
  local is_over = false
  return {
    attach = function(context) return require("websockets.loop.copas").attach(context) end,
    served = function() is_over = true end,
    -- From 4.0 on it looks ten times a second at times of its own.
    own_wakes = copas.pause and 10 or 0,
    turn = function(ms)
      local deadline = socket.gettime() + ms / 1000
      is_over = false
      repeat copas.step(math.max(0, deadline - socket.gettime())) until is_over or socket.gettime() >= deadline
    end,
    -- Copas 1.2.0 does not tell: what it selects does.
    waits = function()
      local select, count = socket.select, 0
      function socket.select(reads, writes, seconds)
        count = #reads + #writes
        return select(reads, writes, seconds)
      end
      for _ = 1, 10 do copas.step(0) end
      socket.select = select
      return count > 0
    end,
  }
end

--- Tell what is missing for a host.
-- @tparam string name
-- @treturn ?string a reason to skip
function hosts.missing(name)
  local host, why = MAKE[name]()
  if host and host.remove then host.remove() end
  return why
end

--- Start a server under a host.
-- @tparam string name of the host
-- @tparam table options of `websockets.context`
-- @treturn table server, with `host`, `attachment`; `attach(context)` has the same loop serve another context
function hosts.start(name, options)
  local host = assert(MAKE[name]())
  local s = server.start(options)
  s.host = host
  function s.attach(context)
    local attachment = host.attach(context)
    if not attachment then return end
    -- So that the turn ends when something has been served.
    for _, method in ipairs({ "ready", "due" }) do
      local real = attachment[method]
      attachment[method] = function(...)
        real(...)
        if host.served then host.served() end
      end
    end
    return attachment
  end
  function s.turn(_, ms) host.turn(ms) end
  s.attachment = s.attach(s.context)
  s.on_stop = host.remove
  return s
end

return hosts
