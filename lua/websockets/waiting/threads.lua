--- Tasks in threads of an event loop whose driver has some (see `context:attach`), so that calls of that loop wait
-- inside of them, too. Such a task runs outside of turns.
-- @module websockets.waiting.threads
local entry = require("websockets.turn.entry")
local loading = require("websockets.loading")

local threads = {}

local running = coroutine.running
local unpack = table.unpack or unpack

-- Thread -> task.
local by_thread = setmetatable({}, { __mode = "k" })

-- The handler of a protected call. That of coxpcall, for Lua 5.1, gets a traceback and the error, any other the error.
local function with_traceback(first, second)
  local err = second == nil and first or second
  if type(err) ~= "string" or err == loading.OUT_OF_MEMORY then return err end
  return second and first or debug.traceback(err, 2)
end

--- Begins a task in a thread of the loop, soon.
-- @tparam table task
-- @tparam table driver
-- @tparam function finish `finish(task, is_good, err)`
-- @param ... arguments of its function
function threads.start(task, driver, finish, ...)
  local arguments, count = { ... }, select("#", ...)
  local protected = driver.xpcall or xpcall
  task.driver = driver
  local function call() return task.fn(unpack(arguments, 1, count)) end
  driver:start(function()
    local thread = driver:running()
    task.thread, by_thread[thread] = thread, task
    -- Another loop may have another idea of which thread runs.
    running = function() return driver:running() end
    finish(task, protected(call, with_traceback))
  end)
end

--- Gives the task whose thread calls.
-- @treturn ?table
function threads.current()
  local thread = running()
  return thread and by_thread[thread]
end

--- Suspends the thread that calls until its task is woken.
-- @tparam table task
-- @return the arguments of `wake`
function threads.suspend(task)
  task.waits, task.first, task.second = true, nil, nil
  entry.follow_plans(task.context)
  while task.waits do task.driver:wait() end
  return task.first, task.second
end

--- Has a task go on that is suspended, soon.
-- @tparam table task
-- @param[opt] first what `suspend` returns
-- @param[opt] second
function threads.wake(task, first, second)
  if first ~= nil then task.first, task.second = first, second end
  if not task.waits then return end
  task.waits = false
  task.driver:wake(task.thread)
end

return threads
