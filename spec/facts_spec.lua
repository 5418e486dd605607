--- What is known of files, and who is asked.
-- @module spec.facts_spec

local child = require "spec.support.child"
local facts = require "websockets.facts"

local NOBODY = {}

describe("websockets.facts", function()
  local folder

  lazy_setup(function()
    folder = child.make_folder()
    child.run("cd " .. child.quote(folder)
      .. " && printf 12345 >file && mkdir sub && ln -s file link && ln -s none broken")
  end)
  lazy_teardown(function() child.remove_folder(folder) end)

  it("asks the engine first", function()
    local asked = {}
    local engine = {
      file_facts = function(path) asked[#asked + 1] = path return { kind = "file", size = 1 } end,
      link_facts = function(path) asked[#asked + 1] = path return { kind = "link", target = "x" } end,
    }
    assert.same({ kind = "file", size = 1 }, facts.of(engine, "/a"))
    assert.same({ "link", "x" }, { facts.link(engine, "/b") })
    assert.same({ "/a", "/b" }, asked)
    assert.is_true(facts.are_known(engine))
  end)

  if not pcall(require, "lfs") then
    pending("lua-filesystem, which is not there")
    return
  end

  it("tells kind, size, age and identity of a file, links followed", function()
    local known = facts.of(NOBODY, folder .. "/file")
    assert.same({ "file", 5 }, { known.kind, known.size })
    assert.is_true(known.mtime > 1e9 and known.inode > 0)
    assert.same(known, facts.of(NOBODY, folder .. "/link"))
    assert.equal("directory", facts.of(NOBODY, folder .. "/sub").kind)
  end)

  it("tells what a name itself is", function()
    assert.same({ "link", "file" }, { facts.link(NOBODY, folder .. "/link") })
    assert.same({ "link", "none" }, { facts.link(NOBODY, folder .. "/broken") })
    assert.same({ "file" }, { facts.link(NOBODY, folder .. "/file") })
    assert.same({ "directory" }, { facts.link(NOBODY, folder .. "/sub") })
  end)

  it("gives nil and why where nothing is", function()
    local known, why = facts.of(NOBODY, folder .. "/none")
    assert.same({ nil, "string" }, { known, type(why) })
    assert.is_nil((facts.of(NOBODY, folder .. "/broken")))
    assert.is_nil((facts.link(NOBODY, folder .. "/none")))
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
      local facts, engine = require "websockets.facts", {}
      io.write(tostring(facts.of(engine, ".")), " ", tostring(facts.are_known(engine)))]]))
  end)

  it("websockets.files raises, and says why", function()
    local text = run([[io.write(select(2, pcall(function() local f = require("websockets").files(".") f() end)))]])
    assert.matches("needs the accelerator or lua-filesystem", text, 1, true)
  end)
end)
