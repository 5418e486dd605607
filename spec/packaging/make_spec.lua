--- What `make test` and `make native` say on a machine that lacks something, and to a wrong name.
-- @module spec.packaging.make_spec

local child = require "spec.support.child"

local LUA = child.quote(child.this_lua())

local function check_names(environment)
  return child.run(environment .. " " .. LUA .. " spec/run.lua names")
end

describe("a name that names nothing", function()
  it("in LUAS is told in one line", function()
    assert.same({ "no-lua: no such interpreter\n", 1 }, { check_names("ABSENT= SPEC= LUAS='no-lua'") })
    assert.same({ "no-lua: no such interpreter\n", 1 }, { check_names("ABSENT= SPEC= LUAS=" .. LUA .. "' no-lua'") })
  end)

  it("in the list that the Makefile has is passed over, unless it has no other", function()
    assert.same({ "", 0 }, { check_names("ABSENT=skip SPEC= LUAS=" .. LUA .. "' no-lua'") })
    assert.same({ "no-lua: no such interpreters\n", 1 }, { check_names("ABSENT=skip SPEC= LUAS=no-lua") })
  end)

  it("in SPEC is told in one line", function()
    assert.same({ "spec/none_spec.lua: no such spec\n", 1 },
      { check_names("LUAS= SPEC='spec/packaging/make_spec.lua spec/none_spec.lua'") })
    assert.same({ "", 0 }, { check_names("LUAS= SPEC='spec/packaging/make_spec.lua spec/unit'") })
  end)

  it("in LUAS fails make native", function()
    local text, code = child.run("env -u MAKEFLAGS -u MAKELEVEL ABSENT=fail make -s native LUAS=no-lua")
    assert.matches("^no such interpreter: no%-lua\n", text)
    assert.not_equal(0, code)
  end)
end)

describe("whether the accelerator can be built", function()
  local folder

  before_each(function() folder = child.make_folder() end)
  after_each(function() child.remove_folder(folder) end)

  local function check(version)
    local file = assert(io.open(folder .. "/cargo", "w"))
    file:write("#!/bin/sh\n", version and "echo 'cargo " .. version .. " (0123 2026-01-01)'" or "exit 1", "\n")
    file:close()
    child.run("chmod +x " .. child.quote(folder .. "/cargo"))
    return child.run(("PATH=%s:$PATH %s rockspecs/build.lua check"):format(child.quote(folder), LUA))
  end

  it("depends on cargo", function()
    assert.same({ "no accelerator: there is no cargo\n", 1 }, { check(nil) })
  end)

  it("depends on its version", function()
    assert.same({ "no accelerator: cargo 1.85.0 is too old: Rust 1.88 or later is needed\n", 1 }, { check("1.85.0") })
    assert.same({ "no accelerator: cargo 0.66.0 is too old: Rust 1.88 or later is needed\n", 1 }, { check("0.66.0") })
    for _, version in ipairs({ "1.88.0", "1.100.0", "2.0.0", "1.89.0-nightly" }) do
      assert.same({ "", 0 }, { check(version) })
    end
  end)
end)
