--- A blocking client against servers that end, reset, flood or break the protocol at each moment.
-- @module spec.behaviour.blocking_hostile_spec
local certificates = require("spec.support.certificates")
local errors = require("websockets.errors")
local scripted = require("spec.support.scripted")
local socket = require("socket")
local tls = require("spec.support.tls")
local websockets = require("websockets")

-- What a server does with one connection, by name. `answer` is a good answer to the opening handshake.
local MOMENTS = [[
  local function answer_of(server) return require("spec.support.peer").answer(server:request()) end
  local ends = {
    FIN = function(server) server:close() end,
    RST = function(server) server:reset() end,
    ["half FIN"] = function(server) server:finish() server:drain() end,
  }
  local starts = {
    ["before the request"] = function(server) server:take() end,
    ["after the request"] = function(server) server:request() end,
    ["amid the answer"] = function(server) server:send(answer_of(server):sub(1, 40)) end,
    ["with a refusal"] = function(server)
      server:request()
      server:send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
    end,
    ["with garbage for an answer"] = function(server) server:request() server:send("\0\1\2\3\r\n\r\n") end,
    ["after the answer"] = function(server) server:open() end,
    ["with a message"] = function(server) server:open(server.frame(1, "hello")) end,
    ["amid a header"] = function(server) server:open("\129") end,
    ["amid a message"] = function(server) server:open("\129\20hello") end,
    ["amid a fragmented message"] = function(server) server:open(server.frame(1, "hel", false)) end,
    ["with a masked frame"] = function(server) server:open("\129\129\1\2\3\4A") end,
    ["with reserved bits"] = function(server) server:open("\240\0") end,
    ["with text that is not UTF-8"] = function(server) server:open("\129\2\255\255") end,
    ["with a frame without end"] = function(server) server:open("\130\127\127\255\255\255\255\255\255\255") end,
    ["with a close frame"] = function(server) server:open("\136\2\3\232") end,
    ["with a bad close frame"] = function(server) server:open("\136\1\3") end,
    ["with two close frames and a message"] = function(server)
      server:open("\136\2\3\232\136\2\3\233" .. server.frame(1, "late"))
    end,
    ["after a message of ours"] = function(server) server:open() server:message() end,
    ["after our close frame"] = function(server)
      server:open()
      repeat local opcode = server:message() until opcode == 8 or not opcode
    end,
    ["with a flood of pings"] = function(server)
      server:open()
      pcall(server.send, server, server.frame(9, ("x"):rep(125)):rep(20000))
    end,
    ["with a flood of empty messages"] = function(server)
      server:open()
      pcall(server.send, server, server.frame(1, ""):rep(20000))
    end,
  }
]]

local function names_of(kind)
  local list = {}
  local all = assert((loadstring or load)(MOMENTS .. " return " .. kind))()
  for name in pairs(all) do list[#list + 1] = name end
  table.sort(list)
  return list
end

-- Everything that a script may do with a connection. Whatever comes, nothing raises and nothing waits long.
local function use(ws)
  ws:write("ours")
  for _ = 1, 3 do
    local message, why, code, reason = ws:receive(0.05)
    assert.is_true(type(message) == "string" or why == "timeout"
      or why == "closed" and type(code) == "number" and type(reason) == "string")
  end
  ws:ping("p")
  ws:write(("x"):rep(100000), websockets.WRITE_BINARY)
  ws:receive(0)
  ws:close(1000, "enough")
  for message in ws:messages() do assert.is_string(message) end
  local message, why, code, reason = ws:receive()
  assert.same({ nil, "closed", "number", "string" }, { message, why, type(code), type(reason) })
  local is_clean, again = ws:close(1000)
  assert.is_true(is_clean or type(again) == "string")
  assert.same({ -1, "closed" }, { ws:write("x") })
  assert.equal(-1, ws:get_socket_fd())
end

describe("a blocking client whose server ends the connection", function()
  after_each(scripted.stop_all)

  -- Meets each moment, at a server whose script begins with `prepare`; how many connections were opened.
  local function meet_all(ending, prepare, scheme, options)
    local names, opened = names_of("starts"), 0
    local peer = scripted.start(([[%s %s
      for _, name in ipairs({ %s }) do
        local is_good, err = pcall(starts[name], server)
        if not is_good and not tostring(err):find("closed") then error(name .. ": " .. err) end
        pcall(ends[%q], server)
      end]]):format(MOMENTS, prepare, ("%q, "):rep(#names):format((table.unpack or unpack)(names)), ending))
    options.timeout, options.close_timeout = 5, 0.2
    for _, name in ipairs(names) do
      local begin = socket.gettime()
      local is_good, ws, message, code = pcall(websockets.connect, scheme .. "://localhost:" .. peer.port, options)
      assert.is_true(is_good, name .. ": " .. tostring(ws))
      if ws then
        opened = opened + 1
        local is_used, err = pcall(use, ws)
        assert.is_true(is_used, name .. ": " .. tostring(type(err) == "table" and err.message or err))
      else
        assert.is_true(type(message) == "string" and message ~= "", name)
        assert.is_string(errors.WORDS[code], name)
      end
      local seconds = socket.gettime() - begin
      assert.is_true(seconds < 15, ("%s: %.1f s"):format(name, seconds))
    end
    peer:done()
    return opened
  end

  for _, ending in ipairs(names_of("ends")) do
    it("by " .. ending .. " at each moment raises nothing and waits no longer than its times", function()
      assert.is_true(meet_all(ending, "", "ws", {}) >= 10)
    end)
  end

  tls.test(it, pending)("over TLS at each moment raises nothing and waits no longer than its times", function()
    local prepare = ("server:secure(%q, %q)"):format(certificates.path("good.pem"), certificates.path("good.key"))
    assert.is_true(meet_all("FIN", prepare, "wss", { tls = { cafile = certificates.path("ca.pem") } }) >= 10)
  end)

  for name, frame in pairs({
    messages = "server.frame(2, ('x'):rep(1000))", pings = "server.frame(9, 'x')",
    fragments = "server.frame(0, 'x', false)",
  }) do
    it("never, and sends " .. name .. " without end, is left in time", function()
      local peer = scripted.start(([[server:open(server.frame(1, "first", false))
        local bytes = server.frame(0, "", true) .. (%s):rep(1000)
        if %q == "fragments" then bytes = (%s):rep(1000) end
        repeat until not pcall(server.send, server, bytes)]]):format(frame, name, frame))
      local ws = assert(websockets.connect(peer.url, { close_timeout = 0.3, max_fragments = 1e9 }))
      local begin = socket.gettime()
      for _ = 1, 3 do
        ws:receive(0.05)
        ws:receive(0)
        ws:write("x")
      end
      local is_clean, why = ws:close(1000)
      assert.is_nil(is_clean)
      assert.is_string(why)
      assert.is_true(socket.gettime() - begin < 8)
      assert.equal(-1, ws:get_socket_fd())
      peer:done()
    end)
  end

  it("and sends nothing uses no time of the processor, until it is told to close", function()
    local ws = assert(websockets.connect(scripted.start("server:open() server:drain()").url,
      { close_timeout = 0.2, ping_interval = false }))
    local before = os.clock()
    assert.same({ nil, "timeout" }, { ws:receive(0.5) })
    assert.same({ nil, "timeout", 1006, "" }, { ws:close() })
    assert.is_true(os.clock() - before < 0.2)
  end)
end)
