--- What is known of files, and who is asked.
-- @module spec.unit.http.facts_spec

local child = require "spec.support.child"
local engine = require("websockets.engine.loader").choose()
local facts = require "websockets.http.facts"
local plain_client = require "spec.support.plain_client"

local NOBODY = {}

local has_accelerator = engine.name == "native"
local ASKED = {
  ["lua-filesystem"] = pcall(require, "lfs") and NOBODY or nil,
  ["the accelerator"] = has_accelerator and engine or nil,
}

describe("websockets.facts", function()
  local folder

  lazy_setup(function()
    folder = child.make_folder()
    child.run("cd " .. child.quote(folder)
      .. " && printf 12345 >file && mkdir sub && ln -s file link && ln -s none broken && mkfifo pipe")
  end)
  lazy_teardown(function() child.remove_folder(folder) end)

  it("asks the engine first", function()
    local asked = {}
    local answering = {
      file_facts = function(path) asked[#asked + 1] = path return { kind = "file", size = 1 } end,
      link_facts = function(path) asked[#asked + 1] = path return { kind = "link", target = "x" } end,
    }
    assert.same({ kind = "file", size = 1 }, facts.of(answering, "/a"))
    assert.same({ "link", "x" }, { facts.link(answering, "/b") })
    assert.same({ "/a", "/b" }, asked)
    assert.is_true(facts.are_known(answering))
  end)

  for _, name in ipairs({ "lua-filesystem", "the accelerator" }) do
    local asked = ASKED[name]
    local it_asked = asked and it or name == "the accelerator" and function() end or pending

    it_asked("by " .. name .. " tells kind, size, age and identity of a file, links followed", function()
      local known = facts.of(asked, folder .. "/file")
      assert.same({ "file", 5 }, { known.kind, known.size })
      assert.is_true(known.mtime > 1e9 and known.inode > 0)
      assert.same(known, facts.of(asked, folder .. "/link"))
      assert.equal("directory", facts.of(asked, folder .. "/sub").kind)
      assert.equal("named pipe", facts.of(asked, folder .. "/pipe").kind)
      assert.equal("char device", facts.of(asked, "/dev/null").kind)
    end)

    it_asked("by " .. name .. " tells what a name itself is", function()
      assert.same({ "link", "file" }, { facts.link(asked, folder .. "/link") })
      assert.same({ "link", "none" }, { facts.link(asked, folder .. "/broken") })
      assert.same({ "file" }, { facts.link(asked, folder .. "/file") })
      assert.same({ "directory" }, { facts.link(asked, folder .. "/sub") })
    end)

    it_asked("by " .. name .. " gives nil and why where nothing is", function()
      local known, why = facts.of(asked, folder .. "/none")
      assert.same({ nil, "string" }, { known, type(why) })
      assert.is_nil((facts.of(asked, folder .. "/broken")))
      assert.is_nil((facts.link(asked, folder .. "/none")))
    end)
  end

  if not (ASKED["lua-filesystem"] and ASKED["the accelerator"]) then return end

  it("are the same from both", function()
    for _, name in ipairs({ "file", "sub", "link", "pipe" }) do
      local one, other = facts.of(NOBODY, folder .. "/" .. name), facts.of(engine, folder .. "/" .. name)
      -- lua-filesystem leaves fractions of a second out.
      other.mtime = math.floor(other.mtime)
      assert.same(one, other)
    end
  end)

  it("are those of the whole name: a zero byte does not end it", function()
    assert.is_nil((facts.of(engine, folder .. "/file\0")))
    assert.is_nil((facts.link(engine, folder .. "/file\0")))
  end)
end)

describe("without lua-filesystem a server with the accelerator", function()
  if not has_accelerator then return end

  local SERVER = [[
    package.preload.lfs = function() error("not here") end
    local websockets = require "websockets"
    local context = websockets.context{ port = "any", interf = "127.0.0.1", on_http = websockets.files(%q) }
    io.stdout:write(websockets.engine, " ", context:get_port(), "\n")
    io.stdout:flush()
    context:run()]]

  local folder, program, port

  lazy_setup(function()
    folder = child.make_folder()
    child.run("cd " .. child.quote(folder) .. " && mkdir site && printf page >site/index.html && printf x >secret"
      .. " && ln -s index.html site/in && ln -s ../secret site/out && mkfifo site/pipe")
    program = child.start(child.quote(child.this_lua()) .. " -e " .. child.quote(SERVER:format(folder .. "/site")),
      [[LUA_PATH="lua/?.lua;lua/?/init.lua;;"]])
    port = program:expect("^native (%d+)")
  end)
  lazy_teardown(function()
    if program then program:stop() end
    child.remove_folder(folder)
  end)

  local function ask(target, headers)
    local c = plain_client.connect(port)
    c:request(target, headers)
    local head = c:read_head()
    c:close()
    return tonumber(head:match("^HTTP/1%.1 (%d+)")), head
  end

  it("names the version of files, and answers 304", function()
    local status, head = ask("/")
    assert.equal(200, status)
    assert.matches("\r\nLast%-Modified: %a+, %d+ %a+ %d+ [%d:]+ GMT\r\n", head)
    local etag = assert(head:match('\r\nETag: ("[^"]+")\r\n'))
    assert.equal(304, (ask("/", "If-None-Match: " .. etag .. "\r\n")))
    assert.equal(412, (ask("/", 'If-Match: "other"\r\n')))
  end)

  it("follows links that stay in the folder, and opens no pipe", function()
    for target, expected in pairs({ ["/in"] = 200, ["/out"] = 404, ["/pipe"] = 404, ["/none"] = 404 }) do
      assert.same({ target, expected }, { target, (ask(target)) })
    end
  end)
end)

describe("without lua-filesystem and accelerator", function()
  -- A Lua of its own: what has been looked for once is not looked for again.
  local function run(code)
    return child.run(([[LUA_PATH="lua/?.lua;lua/?/init.lua;;" WEBSOCKETS_NATIVE=off %s -e %s]]):format(
      child.quote(child.this_lua()), child.quote("package.preload.lfs = function() error('not here') end " .. code)))
  end

  it("files are served, but have no version", function()
    assert.equal("nil false", run([[
      local facts, engine = require "websockets.http.facts", {}
      io.write(tostring(facts.of(engine, ".")), " ", tostring(facts.are_known(engine)))]]))
  end)

  it("websockets.files raises, and says why", function()
    local text = run([[io.write(select(2, pcall(function() local f = require("websockets").files(".") f() end)))]])
    assert.matches("needs the accelerator or lua-filesystem", text, 1, true)
  end)
end)
