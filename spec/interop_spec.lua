--- Clients that others wrote, against our echo server: every byte comes back equal.
-- @module spec.interop_spec
local child = require("spec.support.child")
local server = require("spec.support.server")
local socket = require("socket")

local LIMIT_SECONDS = 60

local PEERS = {
  {
    name = "Python websockets", probe = ".deps/venv/bin/python -c 'import websockets.sync.client'",
    command = ".deps/venv/bin/python spec/support/interop.py",
  },
  {
    name = "Node ws", probe = "NODE_PATH=.deps/node_modules node -e 'require(\"ws\")'",
    command = "env NODE_PATH=.deps/node_modules node spec/support/interop.js",
  },
}

local function read(path)
  local file = io.open(path, "r")
  local text = file and file:read("*a") or ""
  if file then file:close() end
  return text
end

-- Runs a command beside us, for the server must be served meanwhile; gives its exit code and output.
local function run_beside(run, command)
  local folder = child.make_folder()
  local rc, out = folder .. "/rc", folder .. "/out"
  local line = ("{ timeout -k 2 %d %s >%s 2>&1 </dev/null; echo $? >%s.new; mv %s.new %s; } >/dev/null 2>&1 & echo $!")
    :format(LIMIT_SECONDS, command, out, rc, rc, rc)
  local pipe = assert(io.popen(line, "r"))
  local pid = tonumber(pipe:read("*l"))
  pipe:close()
  local deadline, code = socket.gettime() + LIMIT_SECONDS + 5
  repeat
    run.context:service(5)
    code = tonumber(read(rc))
  until code or socket.gettime() > deadline
  if not code then child.run("kill -KILL " .. pid) end
  local text = read(out)
  child.remove_folder(folder)
  return code, text
end

-- An echo server that closes when it is asked to.
local function start()
  local ends = {}
  local run = server.start({ protocols = { echo = function(ws)
    ws:on_receive(function(_, data, kind)
      if data == "close me" then
        ws:close(4001, "bye")
      else
        ws:write(data, kind)
      end
    end)
    ws:on_closed(function(_, ...) ends[#ends + 1] = { ... } end)
  end } })
  return run, ends
end

describe("interop", function()
  after_each(server.stop_all)

  for _, peer in ipairs(PEERS) do
    it(peer.name .. " as a client: text and binary of each size, whole and fragmented, ping, close", function()
      local _, missing = child.run(peer.probe)
      if missing ~= 0 then pending(peer.name .. " is not installed") end
      local run, ends = start()
      local code, text = run_beside(run, peer.command .. " " .. run.port)
      assert.equal(0, code, text)
      run:pump(function() return ends[1] end, "on_closed")
      assert.same({ 4001, "bye", true, "closed" }, ends[1])
    end)
  end
end)
