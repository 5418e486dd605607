--- Giving up root: the order of the calls, and every way it can fail.
-- @module spec.unit.server.privileges_spec

local privileges = require "websockets.server.privileges"

describe("websockets.privileges", function()
  local calls, saved

  local function note(name, result)
    return function(...)
      local words = { name }
      for i = 1, select("#", ...) do words[i + 1] = tostring((select(i, ...))) end
      calls[#calls + 1] = table.concat(words, " ")
      return result
    end
  end

  -- What `require` finds: a table, or nothing.
  local function offer(name, module)
    package.loaded[name] = module
    package.preload[name] = module == nil and function() error("not here") end or nil
  end

  local function fake_ffi(results)
    return {
      cdef = function() end,
      new = function(_, value) return { value } end,
      C = {
        setgroups = function(count, groups)
          calls[#calls + 1] = ("setgroups %d %d"):format(count, groups[1])
          return results.setgroups or 0
        end,
        setgid = note("setgid", results.setgid or 0), setuid = note("setuid", results.setuid or 0),
      },
    }
  end

  local function fake_posix(groups, fails)
    return {
      getgroups = function() return groups end,
      setpid = function(what, id)
        calls[#calls + 1] = what .. " " .. id
        if fails == what then return nil, "Operation not permitted" end
        return 0
      end,
    }
  end

  before_each(function()
    calls, saved = {}, {}
    for _, name in ipairs({ "ffi", "posix.unistd" }) do
      saved[name] = { package.loaded[name], package.preload[name] }
    end
  end)

  after_each(function()
    for name, both in pairs(saved) do package.loaded[name], package.preload[name] = both[1], both[2] end
  end)

  it("calls nothing where nothing is to be given up", function()
    offer("ffi", nil)
    offer("posix.unistd", nil)
    assert.is_true(privileges.drop(-1, -1))
  end)

  it("fails where the system cannot be called", function()
    offer("ffi", nil)
    offer("posix.unistd", nil)
    assert.same({ false, "gid and uid need LuaJIT or lua-posix" }, { privileges.drop(1000, -1) })
    assert.same({ false, "gid and uid need LuaJIT or lua-posix" }, { privileges.drop(-1, 1000) })
  end)

  it("sets the supplementary groups, then gid, then uid, by LuaJIT", function()
    offer("ffi", fake_ffi({}))
    assert.is_true(privileges.drop(1000, 1001))
    assert.same({ "setgroups 1 1000", "setgid 1000", "setuid 1001" }, calls)
  end)

  it("leaves what is -1, by LuaJIT", function()
    offer("ffi", fake_ffi({}))
    assert.is_true(privileges.drop(-1, 1001))
    assert.is_true(privileges.drop(1000, -1))
    assert.same({ "setuid 1001", "setgroups 1 1000", "setgid 1000" }, calls)
  end)

  it("stops at the first call that fails, and says which, by LuaJIT", function()
    for name, expected in pairs({ setgroups = 1, setgid = 2 }) do
      calls = {}
      offer("ffi", fake_ffi({ [name] = -1 }))
      assert.same({ false, "cannot set gid 1000" }, { privileges.drop(1000, 1001) })
      assert.equal(expected, #calls)
    end
    offer("ffi", fake_ffi({ setuid = -1 }))
    assert.same({ false, "cannot set uid 1001" }, { privileges.drop(1000, 1001) })
  end)

  it("sets gid, then uid, by lua-posix", function()
    offer("ffi", nil)
    offer("posix.unistd", fake_posix({ 1000 }))
    assert.is_true(privileges.drop(1000, 1001))
    assert.same({ "g 1000", "u 1001" }, calls)
    assert.is_true(privileges.drop(-1, 0))
    assert.equal("u 0", calls[3])
  end)

  it("refuses to go on with other groups' rights, by lua-posix", function()
    offer("ffi", nil)
    offer("posix.unistd", fake_posix({ 1000, 27 }))
    assert.same({ false, "supplementary group 27 cannot be dropped by lua-posix" }, { privileges.drop(1000, 1001) })
    assert.same({}, calls)
  end)

  it("stops at the first call that fails, and says why, by lua-posix", function()
    offer("ffi", nil)
    offer("posix.unistd", fake_posix({}, "g"))
    assert.same({ false, "cannot set gid 1000: Operation not permitted" }, { privileges.drop(1000, 1001) })
    assert.same({ "g 1000" }, calls)
    offer("posix.unistd", fake_posix({}, "u"))
    assert.same({ false, "cannot set uid 1001: Operation not permitted" }, { privileges.drop(1000, 1001) })
  end)
end)
