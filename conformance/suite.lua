--- Runs the Autobahn cases against our echo server, or has our echo client run them against the suite's server.
-- @module conformance.suite
local child = require("spec.support.child")

local suite = {}

local KOSOKU = ".deps/venv/bin/kosoku"
local AT_ONCE = 4

--- Tells whether the suite is installed.
-- @treturn boolean
function suite.is_here()
  local _, code = child.run(child.quote(KOSOKU) .. " --help")
  return code == 0
end

local function environment(run)
  return "LUA_PATH='lua/?.lua;lua/?/init.lua;;' WEBSOCKETS_NATIVE=" .. (run.engine == "native" and "on" or "off")
end

local function selection(parts)
  local words = {}
  for _, part in ipairs(parts) do words[#words + 1] = "-i " .. child.quote(part .. ".*") end
  return table.concat(words, " ")
end

local function read(path)
  local file = io.open(path, "rb")
  local text = file and file:read("*a") or ""
  if file then file:close() end
  return text
end

local roles = {}

function roles.server(run, folder)
  local peer = child.start(child.quote(run.lua) .. " conformance/echo.lua", environment(run), run.seconds)
  local port = peer:expect("^" .. run.engine .. " (%d+)$")
  local text = child.run(("timeout -k 2 %d %s -p %d %s -o %s 127.0.0.1:%s"):format(
    run.seconds, KOSOKU, AT_ONCE, selection(run.parts), child.quote(folder), port))
  peer:stop()
  return text
end

function roles.client(run, folder)
  local peer = child.start(("%s -m fuzzingserver %s -o %s 127.0.0.1:0"):format(
    KOSOKU, selection(run.parts), child.quote(folder)), "", run.seconds)
  local port = peer:expect("listening on ws://127%.0%.0%.1:(%d+)")
  local text, code = child.run(("env %s timeout -k 2 %d %s conformance/client.lua %s"):format(
    environment(run), run.seconds, child.quote(run.lua), port))
  if code ~= 0 then return text .. peer:stop() end
  return text .. peer:rest()
end

--- Runs the cases of some parts to their end.
-- @tparam table run `role` ("server" or "client": ours), `lua` (its interpreter), `engine`, `parts` ("1" to "13"),
-- `seconds` at most
-- @treturn string `index.json` of the report; "" where there is none
-- @treturn string what the programs wrote
function suite.run(run)
  local folder = child.make_folder()
  local is_good, output = pcall(roles[run.role], run, folder)
  local index = read(folder .. "/index.json")
  child.remove_folder(folder)
  if not is_good then return "", tostring(output) end
  return index, output
end

return suite
