--- What is known of files, and what tells it.
-- @module spec.unit.http.facts_spec

local child = require "spec.support.child"
local engine = require("websockets.engine.loader").choose()
local facts = require "websockets.http.facts"

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
    local function it_asked(test, body)
      if asked then return it(test, body) end
      if name == "lua-filesystem" then it(test, function() pending("needs lua-filesystem") end) end
    end

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
