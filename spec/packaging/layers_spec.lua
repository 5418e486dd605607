--- The layers of the library: arrows never point up, nothing goes in circles, low layers know no higher object.
-- @module spec.packaging.layers_spec

local layers = require "spec.support.layers"
local read = require("spec.support.file").read

local function paths(command)
  local pipe = assert(io.popen(command, "r"))
  local list = {}
  for path in pipe:lines() do list[#list + 1] = path end
  pipe:close()
  return list
end

local function lua_files()
  local files = {}
  for _, path in ipairs(paths("find lua -name '*.lua'")) do
    files[(path:gsub("^lua/", ""):gsub("%.lua$", ""):gsub("/", "."))] = read(path)
  end
  return files
end

local function arrows_of(files)
  local arrows = {}
  for module, text in pairs(files) do arrows[module] = layers.required(text) end
  return arrows
end

-- The code of each Rust module, `calls::hub` for native/calls/hub.rs, without its tests.
local function rust_files()
  local files = {}
  for _, path in ipairs(paths("find native -name '*.rs' ! -path '*tests*' ! -name build.rs")) do
    local module = path:gsub("^native/", ""):gsub("%.rs$", ""):gsub("/mod$", ""):gsub("/", "::")
    files[module] = read(path):gsub("//[^\n]*", ""):gsub("#%[cfg%(test%)%]%s*mod [^;]-{.*$", "")
  end
  return files
end

-- `crate::a::b`, `crate::{a::b, c}`, `super::c`, and plain paths inside.
local function rust_arrows(files)
  local arrows = {}
  for module, text in pairs(files) do
    local list, seen = {}, {}
    local parent = module:match("^(.*)::[^:]+$")
    local function add(path)
      path = path:gsub("::$", "")
      while path and path ~= "" and not files[path] do path = path:match("^(.*)::[^:]+$") end
      if path and path ~= module and not seen[path] and path ~= "lib" then
        seen[path] = true
        list[#list + 1] = path
      end
    end
    for tree in text:gmatch("crate::(%b{})") do
      for path in tree:gmatch("[%w_:]+") do add(path) end
    end
    for path in text:gmatch("crate::([%a_][%w_:]*)") do add(path) end
    for path in text:gmatch("super::([%a_][%w_:]*)") do add(parent and parent .. "::" .. path or path) end
    for path in text:gmatch("%f[%w_]use%s+([%a_][%w_:]*)") do
      if parent and files[parent .. "::" .. path:match("^[%w_]+")] then add(parent .. "::" .. path) end
    end
    -- What a module names of its own folder.
    for name in text:gmatch("%f[%w_:]([%a_][%w_]*)::") do
      if files[module .. "::" .. name] then add(module .. "::" .. name) end
    end
    arrows[module] = list
  end
  return arrows
end

describe("the layers of the library", function()
  local files = lua_files()

  it("have arrows that never point up, and low layers know no field of a higher object", function()
    assert.equal("", table.concat(layers.problems(files), "\n"))
  end)

  it("have no cycle in Lua", function()
    assert.is_nil(layers.cycle(arrows_of(files)))
  end)

  it("have no cycle in Rust", function()
    local rust = rust_files()
    assert.is_table(rust.lib and rust.reader and rust_arrows(rust))
    assert.is_nil(layers.cycle(rust_arrows(rust)))
  end)

  it("hide the fields of connections and contexts from Rust", function()
    local fields = {}
    for module, text in pairs(files) do
      local layer = layers.of(module)
      if layer == "api" or layer == "turn" or layer == "connection" or layer == "server" or layer == "client" then
        for _, name in ipairs({ "ws", "context", "self" }) do
          for field in text:gmatch("%f[%w_]" .. name .. "%.(%a[%w_]*)%s*=[^=]") do fields[field] = module end
        end
      end
    end
    assert.is_not_nil(fields.state)
    for module, text in pairs(rust_files()) do
      for _, name in ipairs(layers.rust_names(text)) do
        assert.is_nil(fields[name],
          ("native/%s names the field '%s' of %s"):format(module, name, tostring(fields[name])))
      end
    end
  end)
end)

describe("the check of the layers", function()
  local function problems_with(module, text)
    return table.concat(layers.problems({
      [module] = text, ["websockets.turn.turn"] = "", ["websockets.errors"] = "", ["websockets.wire.stream"] = "",
    }), "\n")
  end

  it("finds an arrow that points up, at the top of a file and inside a function", function()
    local expected = "websockets.http.head requires websockets.turn.turn: up from http to turn"
    assert.equal(expected, problems_with("websockets.http.head", 'local turn = require("websockets.turn.turn")'))
    assert.equal(expected,
      problems_with("websockets.http.head", "function f() return require 'websockets.turn.turn' end"))
    assert.equal(expected, problems_with("websockets.http.head", 'pcall(require, "websockets.turn.turn")'))
  end)

  it("lets arrows point down and to the side, and comments name anything", function()
    assert.equal("", problems_with("websockets.http.head", 'require("websockets.errors") -- "websockets.turn.turn"'))
    assert.equal("", problems_with("websockets.wire.queue", 'require("websockets.wire.stream")'))
  end)

  it("finds a field of a higher object in a low layer", function()
    assert.equal("websockets.wire.hub uses owner.plain, a field of a higher layer",
      problems_with("websockets.wire.hub", "local wire = owner.plain"))
    assert.equal("websockets.poller.select uses context.busy, a field of a higher layer",
      problems_with("websockets.poller.select", "return self.context.busy"))
    assert.equal("", problems_with("websockets.wire.hub", "reports[1] = wire.owner -- owner.plain"))
  end)

  it("finds what lower layers ask of a back plane that it does not have for them", function()
    local module = "websockets.connection.subscriptions"
    assert.equal(module .. " uses plane.store, which is not for lower layers",
      problems_with(module, "if self.plane.store then return end -- plane.presence"))
    assert.equal("websockets.turn.entry uses subscriptions.plane, of another object",
      problems_with("websockets.turn.entry", "context.subscriptions.plane:close()"))
    assert.equal("", problems_with(module, "self.plane:forget(ws); self.plane.unsubscribe(self.plane, name)"))
    assert.equal("", problems_with("websockets.pubsub.pubsub", "return self.plane.store"))
  end)

  it("lets adapters for loops use public modules only", function()
    assert.equal("", problems_with("websockets.loop.ev", 'require("websockets.errors")'))
    assert.equal("websockets.loop.ev requires websockets.turn.turn, which is not public",
      problems_with("websockets.loop.ev", 'require("websockets.turn.turn")'))
  end)

  it("lets the API of 2.x use public modules only, and nothing use it", function()
    assert.equal("", problems_with("websocket.sync", 'require("websockets.errors")'))
    assert.equal("websocket.sync requires websockets.turn.turn, which is not public",
      problems_with("websocket.sync", 'require("websockets.turn.turn")'))
    assert.equal("websockets.http.head names websocket.sync, which is not there",
      problems_with("websockets.http.head", 'require("websocket.sync")'))
  end)

  it("finds a module that is not there, and one that belongs to no layer", function()
    assert.equal("websockets.http.head names websockets.nothing, which is not there",
      problems_with("websockets.http.head", 'require("websockets.nothing")'))
    assert.equal("websockets.misc belongs to no layer", problems_with("websockets.misc", ""))
  end)

  it("finds a cycle, however long, and none in a diamond", function()
    assert.is_nil(layers.cycle({ a = { "b", "c" }, b = { "d" }, c = { "d" }, d = {} }))
    assert.matches("b %-> c %-> b", (layers.cycle({ b = { "c" }, c = { "b" } }) .. " -> b"):gsub("^c %-> ", ""))
    assert.is_not_nil(layers.cycle({ a = { "b" }, b = { "c" }, c = { "d" }, d = { "a" } }))
  end)

  it("reads the names in Rust, not those in comments", function()
    assert.same({ "plain", "role" }, layers.rust_names('lua.with("plain"); // "other"\nlua.field(c"role")'))
  end)
end)
