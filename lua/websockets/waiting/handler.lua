--- Callbacks that may wait: what `websockets.coroutine` makes.
-- @module websockets.waiting.handler
local connection = require("websockets.connection.connection")
local entry = require("websockets.turn.entry")
local errors = require("websockets.errors")
local receiver = require("websockets.waiting.receiver")
local response = require("websockets.server.response")
local tasks = require("websockets.waiting.tasks")

local handler = {}

local RETURNED = 1000

-- The context that a callback belongs to, and its connection, by the first argument of the callback.
local function belongs_to(object)
  if type(object) ~= "table" then return nil end
  if object.agenda then return object end
  return object.context, object.state and object or nil
end

-- Whether a function is to deal with a connection until its end: it is called because that is open now, or before that.
local function converses(ws)
  local is_opening = ws.context.agenda.opening == ws
  if not is_opening and (ws.role ~= "client" or ws.state == "open" or ws.state == "closed") then return false end
  local its_receiver = receiver.attach(ws)
  return its_receiver and (is_opening or not its_receiver.owner)
end

-- An HTTP request whose function has raised gets its answer, if it waits for one.
local function refuse_request(task)
  local ws, request = task.ws, task.request
  if request and ws.state == "http" and ws.phase.request == request then response.respond(ws, 500, nil, "") end
end

local function report(task, err)
  local ws = task.ws
  task.context.agenda:fail(err, ws)
  if not ws then return end
  refuse_request(task)
  if task.owned then
    if ws.state == "open" then connection.give_up(ws) else connection.close(ws) end
  end
end

local function finished(task, is_good, err)
  local ws = task.ws
  -- Its context is gone, and with it all that this would be told to.
  if task.is_given_up then return end
  if not is_good then
    entry.within(task.context, report, task, err)
  elseif task.owned and receiver.is_attached(ws) then
    entry.within(ws.context, connection.close, ws, RETURNED)
  end
  if task.owned then ws.receiver.owner = false end
  task.owned = false
end

local function begin(context, ws, fn, object, ...)
  local task = tasks.new(context, ws, fn, finished)
  if ws and converses(ws) then
    receiver.own(ws, task)
  elseif ws and ws.state == "http" then
    task.request = ws.phase.request
  end
  tasks.begin(task, object, ...)
end

--- Makes a callback that may wait, for `websockets.coroutine`.
-- @tparam function fn
-- @tparam integer level of the caller, as for `error`
-- @treturn function
function handler.new(fn, level)
  if type(fn) ~= "function" then errors.argument(1, "coroutine", "function", fn, level + 1) end
  return function(object, ...)
    local context, ws = belongs_to(object)
    if not context then
      errors.argument(1, "a function of websockets.coroutine", "connection, timer or context", object)
    end
    if context.destroyed then error("websocket context destroyed", 2) end
    entry.within(context, begin, context, ws, fn, object, ...)
  end
end

return handler
