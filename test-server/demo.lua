--- The page and the two subprotocols of 2012, which both test servers serve.
-- @module test-server.demo

local demo = {}

--- Seconds between two ticks of the counter.
demo.TICK_SECONDS = 0.1

local DEFAULT_PORT = 8002

local PAGE = { name = "test.html", content_type = "text/html; charset=utf-8" }
local FILES = {
  ["/"] = PAGE,
  ["/test.html"] = PAGE,
  ["/favicon.ico"] = { name = "favicon.ico", content_type = "image/x-icon" },
}

local function serve(directory)
  return function(ws, uri)
    local file = FILES[(uri or ""):match("^[^?]*")]
    if file then
      ws:serve_http_file(directory .. file.name, file.content_type)
    else
      ws:respond(404)
    end
  end
end

local function count(websockets)
  return function(ws)
    print("dumb-increment-protocol", ws, ws:get_socket_fd())
    local number = 0
    ws:on_receive(function(_, data)
      if data:find("reset", 1, true) then
        number = 0
      end
    end)
    ws:on_broadcast(function()
      ws:write(tostring(number), websockets.WRITE_TEXT)
      number = number + 1
    end)
  end
end

local function mirror(websockets)
  return function(ws)
    ws:on_broadcast(websockets.WRITE_TEXT)
    ws:on_receive(function(_, data)
      ws:broadcast(data)
    end)
  end
end

local function link(address, port)
  local host = address or "localhost"
  if host:find(":", 1, true) then
    host = "[" .. host .. "]"
  end
  return "http://" .. host .. ":" .. tostring(port) .. "/"
end

local function fail(message)
  io.stderr:write("test-server: ", message, "\n")
  os.exit(1)
end

local function read_port(text)
  if text == nil or text == "any" then
    return text or DEFAULT_PORT
  end
  local port = text:match("^%d+$") and tonumber(text)
  if not port or port < 1 or port > 65535 then
    fail("the port must be a number from 1 to 65535 or any, not " .. text)
  end
  return port
end

--- Reads the arguments of a test server: `[directory/ [port [address]]]`.
-- @tparam table arguments the global `arg`
-- @tparam string here directory of the script, with its slash; the page is there by default
-- @treturn table `directory`, `port`, `interf` for `demo.context`
function demo.arguments(arguments, here)
  return {
    directory = arguments[1] or here,
    port = read_port(arguments[2]),
    interf = arguments[3],
  }
end

--- Listens and prints the link. If that fails, it prints the reason in one line and ends the program.
-- @tparam table websockets the library
-- @tparam table place as `demo.arguments` gave it
-- @tparam[opt] table hooks `on_add_fd` and `on_del_fd` for an outside loop
-- @treturn table the context
function demo.context(websockets, place, hooks)
  hooks = hooks or {}
  local listening, context = pcall(websockets.context, {
    port = place.port,
    interf = place.interf,
    on_http = serve(place.directory),
    on_add_fd = hooks.on_add_fd,
    on_del_fd = hooks.on_del_fd,
    protocols = {
      ["dumb-increment-protocol"] = count(websockets),
      ["lws-mirror-protocol"] = mirror(websockets),
    },
  })
  if not listening then
    fail("port " .. tostring(place.port) .. ": " .. tostring(context))
  end
  print(link(place.interf, context:get_port()))
  return context
end

--- Increments the counter on every page.
-- @tparam table context as `demo.context` gave it
function demo.tick(context)
  -- Not empty, because libwebsockets promised the callback only for data that is not empty.
  context:broadcast("dumb-increment-protocol", "x")
end

--- Runs a loop until it ends or Ctrl-C interrupts it, then destroys the context.
-- @tparam table context as `demo.context` gave it
-- @tparam function loop runs until it is interrupted
function demo.run(context, loop)
  local ended, why = pcall(loop)
  -- Ctrl-C may interrupt a turn: then an error of destroy is not reported.
  local destroyed, why_not = pcall(context.destroy, context)
  if not ended and not tostring(why):find("interrupted!", 1, true) then
    error(why, 0)
  end
  if ended and not destroyed then
    error(why_not, 0)
  end
end

return demo
