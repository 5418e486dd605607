--- Compression with what others wrote, as clients and as servers: on and off, contexts kept and not, windows of 2^9 to
-- 2^15 bytes.
-- @module spec.interop.deflate_spec

-- What is tested is the protocol between two programs, not the interpreter: the newest Lua and LuaJIT stand for all.
if _VERSION ~= "Lua 5.4" and not rawget(_G, "jit") then return end

local beside = require("spec.support.beside")
local child = require("spec.support.child")
local needs = require("spec.support.needs")
local server = require("spec.support.server")

local engine = require("websockets.engine.loader").choose()

local PEERS = {
  {
    name = "Python websockets", missing = needs.reason("the Python package websockets"),
    command = ".deps/venv/bin/python spec/support/interop_deflate.py",
  },
  {
    name = "Node ws", missing = needs.reason("node", "the npm package ws"),
    command = "env NODE_PATH=.deps/node_modules node spec/support/interop_deflate.js",
  },
}

local FORMS = 5 + 2 * 7

local function text_of(size)
  local words, length, i = {}, 0, 0
  while length < size do
    i = i + 1
    words[i] = ('{"word": %d}, '):format(i * i % 97)
    length = length + #words[i]
  end
  return table.concat(words):sub(1, size)
end

local function bytes_of(size)
  local list, state = {}, 1
  for i = 1, size do
    state = state * 16807 % 2147483647
    list[i] = string.char(state % 251)
  end
  return table.concat(list)
end

local MESSAGES = {}
for _, size in ipairs({ 0, 1, 100, 5000, 70000 }) do
  MESSAGES[#MESSAGES + 1] = { text_of(size), 0 }
  MESSAGES[#MESSAGES + 1] = { bytes_of(size), 1 }
  MESSAGES[#MESSAGES + 1] = { text_of(size), 0, true }
end

local function what_is_missing(peer)
  if not engine.can_compress or not engine.can_compress() then return "needs lua-zlib or the accelerator" end
  return peer.missing
end

-- What the answer has to say for a form; the largest window need not be named.
local function parameters(name)
  local wanted = { name ~= "off" and "permessage-deflate" or nil }
  for _, side in ipairs({ "server", "client" }) do
    if name == side .. "_forgets" or name == "both_forget" then
      wanted[#wanted + 1] = side .. "_no_context_takeover"
    end
    local bits = name:match("^" .. side .. "_(%d+)$")
    if bits and bits ~= "15" then wanted[#wanted + 1] = ("%s_max_window_bits=%s"):format(side, bits) end
  end
  return wanted
end

local function check_answer(name, answer)
  local said = {}
  for one in answer:gsub("^extensions ?", ""):gmatch("[^; ]+") do said[one] = true end
  if name == "off" then assert.is_nil(next(said), answer) end
  for _, one in ipairs(parameters(name)) do
    assert(said[one], ("%s: the answer is '%s'"):format(name, answer))
  end
end

-- Sends each message when the one before has come back; the first one that comes names the extensions.
local function echo_all(run, port, options)
  local seen = { at = 0 }
  local ws = run.context:connect(("ws://127.0.0.1:%s/"):format(port), options)
  local function send_next()
    seen.at = seen.at + 1
    local message = MESSAGES[seen.at]
    if not message then return ws:close(1000) end
    -- By way of 0x100 it goes plain, between compressed ones.
    ws:write(message[1], message[2] + (message[3] and 0x100 or 0))
  end
  ws:on_receive(function(_, data, kind)
    if not seen.extensions then
      seen.extensions = data
    else
      local message = MESSAGES[seen.at]
      if data ~= message[1] or kind ~= message[2] then seen.wrong = seen.at end
    end
    send_next()
  end)
  ws:on_closed(function(_, ...) seen.closed = { ... } end)
  run:pump(function() return seen.closed end, "the end of the echo")
  assert.is_nil(seen.wrong)
  assert.equal(#MESSAGES + 1, seen.at)
  assert.same({ 1000, true }, { seen.closed[1], seen.closed[3] })
  return seen.extensions
end

describe("compression with", function()
  after_each(server.stop_all)

  for _, peer in ipairs(PEERS) do
    it(peer.name .. " as a client", function()
      local missing = what_is_missing(peer)
      if missing then pending(missing) end
      local handler, log = server.recorder(server.echo)
      local run = server.start({ protocols = { echo = handler }, compression = { threshold = 0 } })
      local code, text = beside.run(run, peer.command .. " client " .. run.port)
      assert.equal(0, code, text)
      assert.equal(FORMS, #log.ws)
    end)

    it(peer.name .. " as a server", function()
      local missing = what_is_missing(peer)
      if missing then pending(missing) end
      local run = server.start({ protocols = {} })
      local program = child.start(peer.command .. " server")
      local is_good, err = pcall(function()
        for _ = 1, FORMS do
          local name, port = program:expect("^(%S+ %d+)$"):match("^(%S+) (%d+)$")
          check_answer(name, echo_all(run, port, { compression = { threshold = 0 } }))
          check_answer("off", echo_all(run, port))
        end
      end)
      program:stop()
      assert(is_good, err)
    end)
  end
end)
