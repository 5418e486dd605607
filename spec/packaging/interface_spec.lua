--- The number of the interface between the library and its accelerator is raised with each change of what Lua calls.
-- @module spec.packaging.interface_spec
local child = require "spec.support.child"
local encode = require("websockets.engine.pure.base64").encode
local read = require("spec.support.file").read
local sha1 = require "websockets.engine.pure.sha1"

-- The number, and a digest of the names and signatures that it stands for. Where they have changed, an accelerator that
-- was built before does not fit: raise the number in both files, and write the new line here.
local RECORDED = "2 +mQVHPkpTpxp"

local RUST, LUA = "native/calls/mod.rs", "lua/websockets/engine/native.lua"

-- How a function looks in Lua: what stands between the first backquotes of its documentation.
local function signature(text, name)
  local at = text:find("\nfn " .. name .. "[<%(]") or text:find("\npub fn " .. name .. "[<%(]")
  local lines = {}
  for line in (at and text:sub(1, at) or ""):gmatch("[^\n]*") do
    if line ~= "" then lines[#lines + 1] = line:match("^/// ?(.*)") or "" end
  end
  local from = #lines + 1
  while from > 1 and lines[from - 1] ~= "" do from = from - 1 end
  return table.concat(lines, " ", from):match("^`([^`]+)`")
end

-- What Lua calls, sorted: `file name: signature`. What has no signature is told apart.
local function called(files)
  local list, bare = {}, {}
  for path, text in pairs(files) do
    for names in text:gmatch("functions!%s*(%b{})") do
      for name in names:gmatch("[%w_]+") do
        local how = signature(text, name)
        for _, other in pairs(files) do how = how or signature(other, name) end
        list[#list + 1] = ("%s %s: %s"):format(path, name, tostring(how))
        if not how then bare[#bare + 1] = name end
      end
    end
  end
  table.sort(list)
  return list, bare
end

local function rust_files()
  local files, paths = {}, child.run("ls native/calls/*.rs")
  for path in paths:gmatch("[^\n]+") do files[path] = read(path) end
  return files
end

local function digest(list, compiled)
  return encode(sha1(table.concat(list, "\n") .. "\n" .. compiled)):sub(1, 12)
end

describe("the interface of the accelerator", function()
  local number = read(RUST):match("const INTERFACE: usize = (%d+);")

  it("has the same number in Rust and in Lua", function()
    assert.is_string(number)
    assert.equal(number, read(LUA):match("local INTERFACE = (%d+)\n"))
  end)

  it("has a new number where names or signatures have changed", function()
    local list, bare = called(rust_files())
    assert.same({}, bare)
    assert.is_true(#list > 50)
    -- LuaJIT finds this one in the library by its name.
    local compiled = assert(read("native/lua/exports.rs"):match("fn websockets_write(%b()[^{]*)"))
    assert.equal(RECORDED, number .. " " .. digest(list, compiled),
      ("raise INTERFACE in %s and in %s, then record it here"):format(RUST, LUA))
  end)

  it("is another one with another name, or another signature", function()
    local function of(names, how)
      local text = "functions! { " .. names .. " }\n/// `one(" .. how .. ")`\nfn one(_: &Lua) {}\n"
      return digest(called({ a = text }), "")
    end
    assert.equal(of("one", "fd"), of("one", "fd"))
    assert.not_equal(of("one", "fd"), of("one", "fd, size"))
    assert.not_equal(of("one", "fd"), of("one two", "fd"))
  end)
end)
