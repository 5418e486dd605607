--- The echo client that a conformance suite tests: it runs every case of the suite's server.
-- @script client
--
-- `lua conformance/client.lua PORT`: asks how many cases there are, runs a few of them at a time, and asks the suite to
-- write the report. Then it prints its engine and the number of cases. A case is a connection on which every message is
-- sent back. With the environment variable `CERTIFICATES`, a folder of `spec.support.certificates`, over TLS.
package.path = "./?.lua;" .. package.path

local peer = require("conformance.peer")
local websockets = require("websockets")

local AT_ONCE = 4
local CERTIFICATES = os.getenv("CERTIFICATES")
local BASE = (CERTIFICATES and "wss://localhost:" or "ws://127.0.0.1:") .. assert(arg[1], "PORT") .. "/"
local AGENT = "websockets." .. websockets.engine
local OPTIONS = peer.options()
OPTIONS.timeout = 60
if CERTIFICATES then OPTIONS.tls = { cafile = CERTIFICATES .. "/ca.pem" } end

local context = websockets.context({})

local function open(target)
  return assert(context:connect(BASE .. target, OPTIONS))
end

local function update_reports(count)
  open("updateReports?agent=" .. AGENT):on_closed(function()
    io.stdout:write(websockets.engine, " ", ("%d"):format(count), "\n")
    context:stop()
  end)
end

local function run_cases(count)
  local begun, ended = 0, 0
  local function next_case()
    if begun == count then return end
    begun = begun + 1
    local ws = open(("runCase?case=%d&agent=%s"):format(begun, AGENT))
    ws:on_receive(function(_, data, kind) ws:write(data, kind) end)
    ws:on_closed(function()
      ended = ended + 1
      if ended == count then return update_reports(count) end
      next_case()
    end)
  end
  for _ = 1, AT_ONCE do next_case() end
end

local counting = open("getCaseCount")
local count
counting:on_receive(function(_, data) count = tonumber(data) end)
counting:on_closed(function(_, _, reason, _, why)
  if not count then error("no case count: " .. why .. " " .. reason, 0) end
  run_cases(count)
end)
context:run()
