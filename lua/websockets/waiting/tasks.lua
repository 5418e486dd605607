--- Functions that wait. A task is such a function in a coroutine of its own, which is suspended while it waits. What it
-- waits for resumes it, inside a turn.
-- @module websockets.waiting.tasks
local agenda = require("websockets.connection.agenda")
local drivers = require("websockets.turn.driver")
local errors = require("websockets.errors")
local loading = require("websockets.loading")
local threads = require("websockets.waiting.threads")

local tasks = {}

local create, resume, status, yield = coroutine.create, coroutine.resume, coroutine.status, coroutine.yield
local unpack = table.unpack or unpack
local HUGE = math.huge
local DESTROYED = "websocket context destroyed"
-- A function may catch that error, and wait again and again.
local MOST_REFUSALS = 1000

-- `coroutine.running` cannot tell which task calls: with coxpcall on Lua 5.1 each protected call has a coroutine of its
-- own.
local RUNNING, HIDDEN = agenda.RUNNING, agenda.HIDDEN

--- What a coroutine yields when this library suspends it.
tasks.TOKEN = {}

local TOKEN = tasks.TOKEN

local FOREIGN = "a function of websockets.coroutine has yielded by itself; only calls of this library may suspend it"
local AWAY = "%s was resumed by another coroutine than the one of its function"
local INSIDE = "%s may not wait inside a callback"
local OUTSIDE = "%s can wait only in a function of websockets.coroutine; elsewhere use on_receive, on_open or after"

local function with_traceback(thread, err)
  if type(err) ~= "string" or err == loading.OUT_OF_MEMORY then return err end
  local is_good, text = pcall(debug.traceback, thread, err)
  return is_good and text or err
end

local function finish(task, is_good, err)
  task.is_over, task.deadline = true, false
  task.context.timers:unplan(task)
  task.finished(task, is_good, err)
end

-- In a thread of a loop an error that nobody hears goes to the log, so that the loop goes on.
local function finish_thread(task, is_good, err)
  local is_told, fault = pcall(finish, task, is_good, err)
  if not is_told then task.context.agenda:log_error(fault) end
end

-- The function has returned or raised, or it has yielded by itself: then nobody knows when to resume it.
local function leave(task, is_good, err)
  local thread = task.thread
  if status(thread) == "suspended" then is_good, err = false, FOREIGN end
  if not is_good then err = with_traceback(thread, err) end
  -- Since Lua 5.4 this closes variables.
  if coroutine.close then pcall(coroutine.close, thread) end
  finish(task, is_good, err)
end

-- The task of the same context that runs now. One that an error of a hook (Ctrl-C) has left as `RUNNING` does not run.
local function running_beside(task)
  local other = RUNNING.task
  if other == HIDDEN then other = RUNNING.hidden end
  local state = other and status(other.thread)
  if state == "running" or state == "normal" then return other.context == task.context and other or nil end
  RUNNING.task, RUNNING.hidden = false, false
end

local function run_now(plan)
  plan.context.timers:unplan(plan)
  plan.work(plan.task, unpack(plan, 1, plan.count))
end

-- A task that is to run while another one of its context does runs after that. Resuming one inside the other, again and
-- again, would overflow the C stack.
local function postpone(work, task, ...)
  local context = task.context
  local plan = {
    context = context, fire = run_now, place = false, work = work, task = task, count = select("#", ...), ...
  }
  context.timers:plan(plan, context.now)
end

--- Follows what `coroutine.resume` has returned for a task.
-- @tparam table task
-- @tparam boolean is_good
-- @param token
function tasks.resumed(task, is_good, token)
  if token ~= TOKEN or not is_good then leave(task, is_good, token) end
end

local function shown(task, before, hidden, ...)
  RUNNING.task, RUNNING.hidden = before, hidden
  tasks.resumed(task, ...)
end

local function go_on(task, ...)
  local before, hidden = RUNNING.task, RUNNING.hidden
  RUNNING.task = task
  shown(task, before, hidden, resume(task.thread, ...))
end

--- Begins a task.
-- @tparam table task
-- @param ... arguments of its function
function tasks.begin(task, ...)
  local driver = drivers.with_threads(task.context)
  if driver then return threads.start(task, driver, finish_thread, ...) end
  if RUNNING.task and running_beside(task) then return postpone(tasks.begin, task, ...) end
  task.thread = create(task.fn)
  go_on(task, ...)
end

--- Resumes a task that waits: it looks anew for what it waits for.
-- @tparam table task
-- @param ... what `suspend` returns
function tasks.run(task, ...)
  if task.is_over then return end
  if task.driver then return threads.wake(task, ...) end
  if RUNNING.task and running_beside(task) then return postpone(tasks.run, task, ...) end
  if status(task.thread) ~= "suspended" then return end
  task.waits = false
  go_on(task, ...)
end

-- The time has come, or the task waits for something else by now, perhaps until later.
local function fire(task, now)
  local timers, deadline = task.context.timers, task.deadline
  if deadline and deadline > now then return timers:plan(task, deadline) end
  timers:unplan(task)
  task.due = HUGE
  if deadline then tasks.run(task) end
end

-- The context is destroyed, whose timers would have the task go on.
local function give_up(task)
  task.is_given_up = true
  tasks.run(task)
end

local function refuse_to_wait(task, level)
  task.refusals = (task.refusals or 0) + 1
  while task.refusals > MOST_REFUSALS do
    if task.driver then task.driver:wait() else yield(TOKEN) end
  end
  error(DESTROYED, level + 1)
end

--- Makes a task; `begin` must follow, in a turn.
-- @tparam table context
-- @tparam ?table ws the connection whose errors its errors are
-- @tparam function fn
-- @tparam function finished `finished(task, is_good, err)` is called when the function has returned or raised
-- @treturn table `owned`: the connection that ends with it, false for none
function tasks.new(context, ws, fn, finished)
  return {
    context = context, clock = context.clock, ws = ws, owned = false, fn = fn, thread = false, finished = finished,
    waits = false, is_over = false, driver = false,
    -- What timers take it for.
    fire = fire, give_up = give_up, deadline = false, place = false, due = HUGE,
  }
end

--- Has a task resumed at some time, if it is suspended until then. A timer that is due before that serves for it, so
-- that nearly no message costs one.
-- @tparam table task
-- @tparam number deadline on the context's clock
function tasks.set_deadline(task, deadline)
  task.deadline = deadline
  if task.due > deadline then task.context.timers:plan(task, deadline) end
end

--- Suspends the task that runs, after `RUNNING` has named it. It may be resumed before what it waits for is there.
-- @tparam table task
-- @tparam number|boolean deadline as for `set_deadline`; false for none
-- @tparam string name of the public function
-- @tparam integer level of its caller, as for `error`
-- @return the arguments of `run`
-- @raise where another coroutine has resumed it; `websocket context destroyed`
function tasks.suspend(task, deadline, name, level)
  if task.is_given_up then refuse_to_wait(task, level + 1) end
  task.waits, task.deadline = true, false
  if deadline then tasks.set_deadline(task, deadline) end
  local first, second
  if task.driver then first, second = threads.suspend(task) else first, second = yield(TOKEN) end
  if task.waits and first == nil then tasks.refuse_other(name, level + 1) end
  task.waits = false
  if task.is_given_up then refuse_to_wait(task, level + 1) end
  return first, second
end

--- Raises where a task was resumed by another coroutine, and not by this library.
-- @tparam string name of the public function
-- @tparam integer level of its caller, as for `error`
function tasks.refuse_other(name, level)
  error(AWAY:format(name), level + 1)
end

--- Gives the task that calls a public function.
-- @tparam string name of the function
-- @tparam integer level of the caller, as for `error`
-- @treturn table
-- @raise outside of a task, and in a callback that is called inside of one
function tasks.calling(name, level)
  local task = RUNNING.task or threads.current()
  if task and task ~= HIDDEN and not (task.driver and task.context.busy) then return task end
  error((task and INSIDE or OUTSIDE):format(name), level + 1)
end

--- Suspends the calling function of `websockets.coroutine` for some seconds. Everything else goes on.
-- @function websockets.sleep
-- @tparam number seconds 0 or more; 0: until the next turn
-- @treturn nil
-- @raise for anything but a finite number from 0; outside of a function of `websockets.coroutine`, or in a callback;
-- `websocket context destroyed`
function tasks.sleep(seconds)
  if type(seconds) ~= "number" or not (seconds >= 0 and seconds < HUGE) then
    errors.argument(1, "sleep", "number of seconds from 0", seconds)
  end
  local task = tasks.calling("sleep", 2)
  local clock = task.clock
  local deadline = clock() + seconds
  repeat tasks.suspend(task, deadline, "sleep", 2) until clock() >= deadline
end

return tasks
