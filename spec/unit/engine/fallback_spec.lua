--- The pure engine's ways for other Luas: each is run on this one as well, where this one can.
-- @module spec.unit.engine.fallback_spec

local support = require "spec.support.engine"

local bits = require "websockets.engine.pure.bits"
local random = require "websockets.engine.pure.random"

local PREFIX = "websockets.engine.pure."

-- Loads a module anew while this Lua seems to lack what is named; everything is put back.
local function load_without(module, globals, tools)
  local kept_globals, kept_tools, kept_module = {}, {}, package.loaded[PREFIX .. module]
  for _, name in ipairs(globals) do
    kept_globals[name] = rawget(_G, name)
    rawset(_G, name, nil)
  end
  for _, name in ipairs(tools) do
    kept_tools[name] = bits[name]
    bits[name] = function() return false end
  end
  package.loaded[PREFIX .. module] = nil
  local loaded, result = pcall(require, PREFIX .. module)
  -- SHA-1 chooses when first called.
  if loaded and type(result) == "function" then loaded, result = pcall(function() result "" return result end) end
  package.loaded[PREFIX .. module] = kept_module
  for _, name in ipairs(tools) do
    bits[name] = kept_tools[name]
  end
  for name, value in pairs(kept_globals) do
    rawset(_G, name, value)
  end
  return assert(loaded and result, result)
end

describe("ways of the pure engine", function()
  it("mask by tables", function()
    local mask = load_without("mask", {}, { "find_ffi", "has_operators" })
    local payload, key = ("0\255abc\128\1defg\0hijk"):rep(40), "\7\200\0\255"
    local expected = support.mask(payload, key)
    for length = 0, 700 do
      assert.is_true(mask.whole(payload:sub(1, length), key) == expected:sub(1, length), "length " .. length)
    end
  end)

  it("mask without the foreign function interface", function()
    local mask = load_without("mask", {}, { "find_ffi" })
    local payload, key = ("0\255abc\128\1defg\0hijk"):rep(40), "\7\200\0\255"
    local expected = support.mask(payload, key)
    for length = 0, 700 do
      assert.is_true(mask.whole(payload:sub(1, length), key) == expected:sub(1, length), "length " .. length)
    end
  end)

  it("mask a part of a string in every way", function()
    local bytes = "abcdefghijklmnopqrstuvwxyz"
    for _, tools in ipairs { {}, { "find_ffi" }, { "find_ffi", "has_operators" } } do
      local mask = load_without("mask", {}, tools)
      for first = 1, 26 do
        for last = first - 1, 26 do
          assert.equal(support.mask(bytes:sub(first, last), "\1\2\3\255"), mask.range(bytes, first, last, 1, 2, 3, 255))
        end
      end
    end
  end)

  it("check UTF-8 by tables", function()
    local utf8 = load_without("utf8", { "utf8" }, { "find_ffi" })
    local parts = { "a", "\0", ("x"):rep(300), "\195\164", "\226\130\172", "\240\159\152\128" }
    local bad = { "\237\160\128", "\192\128", "\255", "\244\144\128\128", "\226\130" }
    local choose = support.random(5)
    for _ = 1, 300 do
      local list = {}
      for index = 1, choose(12) do
        list[index] = parts[choose(#parts)]
      end
      local text = table.concat(list)
      assert.is_true(utf8.valid(text))
      local cut = choose(#text)
      assert.equal(0, utf8.next(utf8.next(0, text, 1, cut), text, cut + 1, #text))
      local wrong = text .. bad[choose(#bad)] .. text
      assert.is_false(utf8.valid(wrong))
      assert.is_nil(utf8.next(0, wrong, 1, #wrong))
    end
  end)

  it("compute SHA-1 by tables", function()
    local sha1 = load_without("sha1", { "jit", "bit32" }, { "has_operators" })
    local usual = require(PREFIX .. "sha1")
    for length = 0, 130 do
      local text = ("\0\255k"):rep(50):sub(1, length)
      assert.equal(usual(text), sha1(text))
    end
    local digest = sha1("abc"):gsub(".", function(octet) return ("%02x"):format(octet:byte()) end)
    assert.equal("a9993e364706816aba3e25717850c26c9cd0d89d", digest)
  end)

  it("say so where no random bytes can be had", function()
    local open = io.open
    finally(function() io.open = open end) -- luacheck: ignore
    io.open = function(name) return nil, name .. ": not here" end -- luacheck: ignore
    local bytes, message, code = random.bytes(100000)
    assert.is_nil(bytes)
    assert.equal("no random bytes: /dev/urandom: not here", message)
    assert.equal("entropy", code)
    local frames = 0
    local writer = require("websockets.engine.pure").writer { role = "client" }
    local frame, _
    repeat
      frames = frames + 1
      frame, _, code = writer:encode(1, "a")
    until not frame or frames > 100000
    assert.is_nil(frame)
    assert.equal("entropy", code)
  end)
end)
