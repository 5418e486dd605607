--- The scripts under `examples`, run as a reader would run them: connect, send, wait two seconds, print, exit; and a
-- terminal for a WebSocket.
-- @module spec.interop.scripts_spec
local black_hole = require("spec.support.black_hole")
local await = require("spec.support.await")
local child = require("spec.support.child")
local markdown = require("spec.support.markdown")
local ports = require("spec.support.ports")
local scripted = require("spec.support.scripted")
local socket = require("socket")

local MAX_LINES = 8
local TIMEOUT_SECONDS = 2
local LIMIT_SECONDS = 20
local ECHO = "ws:on_receive(function(_, data, kind) ws:write(data, kind) end)"

local function script(name, ...)
  local words = { child.library_path(), child.quote(child.this_lua()), "examples/" .. name }
  for _, argument in ipairs({ ... }) do words[#words + 1] = child.quote(argument) end
  return "env " .. table.concat(words, " ")
end

-- What ask.lua writes, its exit code, and how long it took.
local function ask(url)
  local begin = socket.gettime()
  local text, code = child.run(script("ask.lua", url, "hello"))
  return { text = text, code = code, seconds = socket.gettime() - begin }
end

describe("examples/ask.lua", function()
  local opened
  before_each(function() opened = { clients = {} } end)
  after_each(function()
    scripted.stop_all()
    for _, one in ipairs(opened.clients) do one:close() end
  end)

  it("prints the answer, in eight lines", function()
    local _, lines = markdown.read("examples/ask.lua"):gsub("\n", "\n")
    assert.is_true(lines <= MAX_LINES)
    local answered, silent = ask(scripted.serve(ECHO).url), ask(scripted.serve("").url)
    assert.same({ "hello\t0\n", 0 }, { answered.text, answered.code })
    assert.same({ "nil\ttimeout\n", 0 }, { silent.text, silent.code })
  end)

  it("names each failure with its code, in time", function()
    local hole = black_hole.listen(opened, "127.0.0.1", 0)
    local function answering(code) return function() return scripted.start("server:request() " .. code).url end end
    for make, code in pairs({
      [function() return ("ws://127.0.0.1:%d/"):format(ports.refusing()) end] = "refused",
      [function() return "ws://x.invalid/" end] = "host",
      [function() return ("ws://127.0.0.1:%d/"):format(hole.port) end] = "timeout",
      [answering("server:drain()")] = "timeout",
      [answering("server:close()")] = "closed",
      [answering([[server:send("HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n")]])] = "status",
    }) do
      local least = math.huge
      -- A machine with much else to do may be late; what waits for too long does so each time.
      for _ = 1, 3 do
        local failed = ask(make())
        assert.equal(1, failed.code)
        assert.matches("^[^\n]+ %(" .. code .. "%)\n", failed.text)
        least = math.min(least, failed.seconds)
        if least < TIMEOUT_SECONDS + 5 then break end
      end
      assert.is_true(least < TIMEOUT_SECONDS + 5, ("%s: %.1f s"):format(code, least))
    end
  end)
end)

describe("examples/wscat.lua", function()
  local folder
  before_each(function() folder = child.make_folder() end)
  after_each(function()
    scripted.stop_all()
    child.remove_folder(folder)
  end)

  local function written() return markdown.read(folder .. "/out") end

  -- Starts it with an input that stays open.
  local function start(url)
    return assert(io.popen(("timeout %d %s >%s/out 2>&1"):format(LIMIT_SECONDS, script("wscat.lua", url), folder), "w"))
  end

  local function await_text(text)
    await(function() return written() == text end, text)
  end

  it("sends lines and prints messages, whichever come first", function()
    local peer = scripted.start([[
      server:open()
      server:write(1, "welcome")
      server:await_signal()
      server:write(2, "\0\1")
      local _, text = server:message()
      server:write(1, "you said " .. text)
      _, text = server:message()
      server:write(1, "and " .. text)
      server:write(8, server.say(server:message()) or "\3\232")
      server:close()]])
    local input = start(peer.url)
    await_text("welcome\n")
    peer:go_on()
    await_text("welcome\n(2 bytes of binary)\n")
    input:write("one\n")
    input:flush()
    await_text("welcome\n(2 bytes of binary)\nyou said one\n")
    input:write("two\n")
    input:flush()
    await_text("welcome\n(2 bytes of binary)\nyou said one\nand two\n")
    -- The end of the input: it closes.
    input:close()
    assert.equal("8 \3\232", peer:said())
    assert.equal("welcome\n(2 bytes of binary)\nyou said one\nand two\nclosed: 1000 \n", written())
  end)

  it("ends when the server closes, though the input stays open", function()
    local input = start(scripted.serve([[ws:close(4001, "so long")]]).url)
    await_text("closed: 4001 so long\n")
    input:close()
  end)

  it("says why there is no connection", function()
    local input = start(("ws://127.0.0.1:%d/"):format(ports.refusing()))
    input:close()
    assert.matches("^cannot connect to [^\n]+ %(refused%)\n$", written())
  end)

  it("says what is no URL, and how it is called", function()
    start("--help"):close()
    assert.matches("^bad argument #1 to 'connect' [^\n]+ got \"%-%-help\"%)\nusage: lua examples/wscat.lua URL\n$",
      written())
  end)
end)
