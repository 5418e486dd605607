--- What a connection has whose messages are received by functions that wait: its mailbox, who waits, and `ws:receive`.
-- @module websockets.waiting.receiver
local agenda = require("websockets.connection.agenda")
local entry = require("websockets.turn.entry")
local errors = require("websockets.errors")
local mailbox = require("websockets.connection.mailbox")
local tasks = require("websockets.waiting.tasks")

local receiver = {}

local resume, yield = coroutine.resume, coroutine.yield
local run, set_deadline = tasks.run, tasks.set_deadline
local RUNNING, TOKEN = agenda.RUNNING, tasks.TOKEN
local HUGE = math.huge
local NAME = "websocket:receive"

-- Where so much has come and was not received, nothing more is read: there are many connections.
local MAX_BYTES, MAX_MESSAGES = 64 * 1024, 64
-- A function that goes on receiving after the end, again and again, would keep everything else waiting for ever.
local MAX_CALLS_AFTER_END = 1000

local TWICE = NAME .. ": another function waits for the messages of this connection"
local AFTER_END = NAME .. ": called " .. MAX_CALLS_AFTER_END .. " times after the connection has ended"

-- Has the function that waits for a message look anew.
local function wake(self)
  if self.interrupt then self.interrupt() end
  local task = self.waiter
  self.waiter = false
  if task then run(task) end
end

local function wake_openers(self)
  local openers = self.openers
  self.openers = false
  for i = 1, openers and #openers or 0 do run(openers[i]) end
end

-- The `open_handler`.
local function opened(ws, again)
  local handler = ws.receiver.open_handler
  if handler then handler(ws, again) end
  wake_openers(ws.receiver)
end

-- The `closed_handler`.
local function ended(ws, ...)
  local self = ws.receiver
  local handler = self.closed_handler
  self.closed_handler = false
  wake(self)
  wake_openers(self)
  if handler then handler(ws, ...) end
end

--- Has functions that wait for a connection hear of its end, and that it is open.
-- @tparam table ws
-- @treturn table its receiver: `owner`, the task that ends with the connection, false for none; `openers`, tasks that
-- wait until it is open
function receiver.follow(ws)
  if ws.receiver then return ws.receiver end
  ws.receiver = {
    owner = false, openers = false, waiter = false, deliver = false, interrupt = false, calls_after_end = 0,
    closed_handler = ws.closed_handler, open_handler = ws.open_handler or false,
  }
  ws.closed_handler = ended
  if ws.role == "client" then ws.open_handler = opened end
  return ws.receiver
end

--- Tells whether a connection is over: it has ended, and is not opened again.
-- @tparam table ws
-- @treturn boolean
function receiver.is_over(ws)
  return ws.state == "closed" and not ws.comeback
end

--- Tells, as `receive` does, how a connection has ended.
-- @tparam table ws
-- @treturn nil
-- @treturn string `closed`
-- @treturn integer code
-- @treturn string reason
function receiver.tell_end(ws)
  return nil, "closed", ws.outcome.code, ws.outcome.reason
end

--- Checks the argument of `receive`.
-- @param timeout
-- @tparam integer level of the caller, as for `error`
function receiver.check_timeout(timeout, level)
  if timeout ~= nil and not (type(timeout) == "number" and timeout >= 0) then
    errors.argument(1, "receive", "number of seconds from 0", timeout, level + 2)
  end
end

local function count_call_after_end(self)
  self.calls_after_end = self.calls_after_end + 1
  if self.calls_after_end > MAX_CALLS_AFTER_END then error(AFTER_END, 5) end
end

-- What `receive` returns without waiting, after true; false where it has to wait.
local function take(ws, task)
  local self, box = ws.receiver, ws.mailbox
  if task.lost == self then
    count_call_after_end(self)
    return true, nil, "closed", 1006, ""
  end
  if mailbox.has_room(box) then entry.within(ws.context, mailbox.go_on, ws) end
  local message, kind = mailbox.take(box)
  if message then return true, message, kind end
  if not receiver.is_over(ws) then return false end
  count_call_after_end(self)
  return true, receiver.tell_end(ws)
end

-- Any call of `receive`.
local function receive(ws, timeout)
  receiver.check_timeout(timeout, 3)
  local task = tasks.calling(NAME, 3)
  local self = ws.receiver
  local deadline = timeout and timeout < HUGE and task.clock() + timeout or false
  local is_done, message, kind, code, reason = take(ws, task)
  while not is_done do
    if self.waiter then error(TWICE, 3) end
    self.waiter = task
    message, kind = tasks.suspend(task, deadline, NAME, 3)
    self.waiter = false
    if message then return message, kind end
    -- Somebody has set `on_receive`.
    if not self.deliver then return ws:receive(timeout) end
    is_done, message, kind, code, reason = take(ws, task)
    if not is_done and deadline and task.clock() >= deadline then return nil, "timeout" end
  end
  if message then return message, kind end
  return nil, kind, code, reason
end

-- A message that nobody waits for, or that comes while a task runs.
local function deliver(ws, payload, kind)
  local self = ws.receiver
  local task = self.waiter
  if not task then return mailbox.put(ws, payload, kind) end
  self.waiter = false
  run(task, payload, kind)
end

-- The task to which the next message may go the shorter way: its function will wait for one, and it is not the end.
local function next_reader(ws, timeout)
  local box = ws.mailbox
  local may_shorten = ws.state == "open" and box and mailbox.is_empty(box) and not box.is_full and timeout ~= HUGE
  return may_shorten and RUNNING.task or nil
end

-- The function waits no more, and no message has come: its time is over, or another coroutine has resumed it.
local function check_due(task, now, level)
  if not task.deadline or task.deadline > now then tasks.refuse_other(NAME, level + 1) end
end

-- Nearly every message goes a shorter way: to a function that has received from this connection before and waits anew,
-- as long as before. Its state is in upvalues, and the deadline is set as `tasks.set_deadline` sets it, because each
-- field and each call more costs each message. `reader` is nil where the shorter way cannot be taken.
local function make_methods(ws)
  local self, clock = ws.receiver, ws.context.clock
  local waiting, reader, thread, usual = false, nil, nil, nil

  function self.deliver(_, payload, kind)
    local task = reader
    if not waiting then
      reader = nil
      return deliver(ws, payload, kind)
    end
    if RUNNING.task then
      waiting = false
      return run(task, payload, kind)
    end
    -- From here on an error of a hook (Ctrl-C) loses this message at most: the function is still waiting.
    RUNNING.task = task
    local is_good, token = resume(thread, payload, kind)
    RUNNING.task = false
    if token ~= TOKEN then tasks.resumed(task, is_good, token) end
  end

  function self.interrupt()
    local task = waiting and reader
    waiting, reader = false, nil
    if task then run(task) end
  end

  local function received(timeout, ...)
    local task = next_reader(ws, timeout)
    if task then reader, thread, usual = task, task.thread, timeout end
    return ...
  end

  function ws.receive(given, timeout)
    local task = RUNNING.task
    if task == reader and timeout == usual and given == ws then
      if timeout then
        local deadline = clock() + timeout
        task.deadline = deadline
        if task.due > deadline then set_deadline(task, deadline) end
      end
      waiting = true
      local message, kind = yield(TOKEN)
      if message then
        waiting = false
        return message, kind
      end
      if waiting then
        waiting = false
        check_due(task, clock(), 2)
        if timeout then return nil, "timeout" end
      end
    end
    errors.check_object(given, "state", NAME)
    if given ~= ws then return given:receive(timeout) end
    if waiting and task ~= reader then error(TWICE, 2) end
    waiting = false
    return received(timeout, receive(ws, timeout))
  end
end

--- Has the messages of a connection kept until `receive` takes them, unless they go to `on_receive`.
-- @tparam table ws
-- @treturn ?table its receiver; nil where they do
function receiver.attach(ws)
  local handler = ws.receive_handler
  if handler then return receiver.is_attached(ws) and ws.receiver or nil end
  local self = receiver.follow(ws)
  ws.mailbox = mailbox.new(MAX_BYTES, MAX_MESSAGES)
  make_methods(ws)
  ws.receive_handler = self.deliver
  return self
end

--- Tells whether the messages of a connection are kept for `receive`.
-- @tparam table ws
-- @treturn boolean
function receiver.is_attached(ws)
  return ws.receiver and ws.receive_handler == ws.receiver.deliver
end

--- Has a task end with a connection. The one that did before learns from `receive` that its connection has ended.
-- @tparam table ws
-- @tparam table task
function receiver.own(ws, task)
  local self = ws.receiver
  local former = self.owner
  self.owner, task.owned = task, ws
  if not former then return end
  former.owned, former.lost = false, self
  ws.mailbox = mailbox.new(MAX_BYTES, MAX_MESSAGES)
  wake(self)
end

-- Messages go to `on_receive` from now on.
local function hand_over(ws)
  local self = ws.receiver
  entry.within(ws.context, mailbox.hand_over, ws)
  self.deliver, ws.receive = false, nil
  wake(self)
  self.interrupt = false
end

--- Sets a function of a connection, for the methods `on_…` of `websockets.websocket`.
-- @tparam table ws
-- @tparam string method its name
-- @tparam string field `receive_handler`, `closed_handler` …
-- @param fn what was given
-- @raise for anything but a function, at the line of the method's caller
function receiver.set_handler(ws, method, field, fn)
  if type(fn) ~= "function" then
    errors.check_object(ws, "state", "websocket:" .. method, 4)
    errors.argument(1, method, "function", fn, 4)
  end
  local self = ws.receiver
  local is_given_up = self and field == "receive_handler" and receiver.is_attached(ws)
  if self and self[field] ~= nil then self[field] = fn else ws[field] = fn end
  if is_given_up then hand_over(ws) end
end

return receiver
