--- Every function of the public API is documented: a sentence, its arguments, what it returns.
-- @module spec.packaging.docs_spec

local doc_scan = require "spec.support.doc_scan"
local read = require("spec.support.file").read

-- The files of the public API, and how many functions of its own each has at least.
local FILES = {
  { "lua/websockets.lua", 0 },
  { "lua/websockets/websocket.lua", 1 },
  { "lua/websockets/blocking.lua", 6 },
  { "lua/websockets/request.lua", 1 },
  { "lua/websockets/files.lua", 1 },
  { "lua/websockets/context.lua", 1 },
  { "lua/websockets/timer.lua", 1 },
  { "lua/websockets/attachment.lua", 4 },
  { "lua/websockets/codec.lua", 13 },
  { "lua/websockets/loop/ev.lua", 1 },
  { "lua/websockets/testing.lua", 7 },
  { "lua/websockets/testing/peer.lua", 15 },
  { "lua/websockets/testing/server.lua", 4 },
  { "lua/websockets/loop/luv.lua", 1 },
  { "lua/websockets/loop/cqueues.lua", 1 },
  { "lua/websockets/loop/copas.lua", 1 },
  { "lua/websockets/waiting/methods.lua", 3 },
  { "lua/websocket/client_ev.lua", 3 },
  { "lua/websocket/ev_common.lua", 2 },
  { "lua/websocket/eventful.lua", 6 },
  { "lua/websocket/frame.lua", 7 },
  { "lua/websocket/handshake.lua", 3 },
  { "lua/websocket/server_copas.lua", 1 },
  { "lua/websocket/server_ev.lua", 1 },
  { "lua/websocket/sync.lua", 3 },
  { "lua/websocket/tools.lua", 4 },
}

local function lacks(...)
  local problems = doc_scan.scan(table.concat({ ... }, "\n"))
  return table.concat(problems, "; ")
end

describe("the documentation of", function()
  for _, entry in ipairs(FILES) do
    local path, least = entry[1], entry[2]
    it(path .. " lacks nothing", function()
      local problems, count = doc_scan.scan(read(path))
      assert.equal("", table.concat(problems, "\n"))
      assert.is_true(count >= least, "only " .. count .. " functions found")
    end)
  end

  it("what the public module hands out lacks nothing", function()
    for name, value in pairs(require "websockets") do
      if type(value) == "function" then
        local info = debug.getinfo(value, "S")
        local path = info.source:sub(2)
        local problem = doc_scan.lacking_at(read(path), info.linedefined)
        assert.equal(nil, problem and ("%s, %s:%d: %s"):format(name, path, info.linedefined, problem))
      end
    end
  end)
end)

describe("doc scan", function()
  it("is content with a sentence, every argument and the result", function()
    assert.equal("", lacks("--- Sends.", "-- @tparam string data", "-- @treturn[1] number 0",
      "-- @tparam[opt=WRITE_TEXT] number kind", "function ws:write(data, kind)", "  return 0", "end"))
    assert.equal("", lacks("--- Ends.", "function ws:close()", "  self.open = false", "end"))
  end)

  it("finds a function without documentation", function()
    assert.equal("1: ws:close: has no documentation", lacks("function ws:close()", "end"))
    assert.equal("2: ws.close: has no documentation", lacks("-- A plain comment.", "ws.close = function()", "end"))
    assert.equal("3: ws.close: has no documentation", lacks("--- Far away.", "", "function ws.close()", "end"))
    assert.equal("2: ws.close: has no documentation", lacks("---", "function ws.close()", "end"))
  end)

  it("finds an argument that is not told", function()
    assert.equal("2: ws:f: lacks @tparam b", lacks("--- Does.", "function ws:f(b)", "end"))
    assert.equal("3: ws.f: lacks @tparam b", lacks("--- Does.", "-- @tparam b a", "function ws.f(a, b)", "end"))
    assert.equal("3: f.g: lacks @tparam ...", lacks("--- Does.", "-- @tparam any a", "function f.g(a, ...)", "end"))
    assert.equal("", lacks("--- Does.", "function ws.f(_, _b)", "end"))
  end)

  it("finds a result that is not told", function()
    assert.equal("2: f.g: lacks @treturn", lacks("--- Does.", "function f.g()", "  return 1", "end"))
    assert.equal("2: f.g: lacks @treturn", lacks("--- Does.", "function f.g() return 1 end"))
    assert.equal("2: f.g: lacks @treturn", lacks("--- Does.", "function f.g()", "  if x then return 1 end", "end"))
    assert.equal("2: f.g: lacks @treturn",
      lacks("--- Does.", "function f.g()", "  local function h()", "    return 1", "  end", "  return h", "end"))
  end)

  it("leaves alone what returns nothing, or only inside", function()
    assert.equal("", lacks("--- Does.", "function f.g()", "  if x then return end", "  return", "end"))
    assert.equal("", lacks("--- Does.", "function f.g()", "  h(function()", "    return 1", "  end)", "end"))
    assert.equal("", lacks("--- Does.", "function f.g()", "  h(function() return 1 end)", "end"))
    assert.equal("", lacks("--- Does.", "function f.g() end", "", "local x = function()", "  return 1", "end"))
  end)

  it("leaves local functions and metamethods alone", function()
    local problems, count = doc_scan.scan("local function f()\nend\nlocal g, h = function() end\nfunction h() end\n"
      .. "function ws:__tostring()\n  return 1\nend\nws.__gc = function() end")
    assert.same({ {}, 0 }, { problems, count })
  end)

  it("finds the comment over a line by its number", function()
    local source = "--- Does.\nlocal function f()\nend\n\nlocal function g()\nend\n"
    assert.equal(nil, doc_scan.lacking_at(source, 2))
    assert.equal("has no documentation", doc_scan.lacking_at(source, 5))
  end)
end)
