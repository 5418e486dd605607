--- What every engine offers: keys, base64, random bytes, frames out. Reading is in the specs beside it.
-- @module spec.unit.engine.engine_spec

local support = require "spec.support.engine"

local engines = support.engines()
local bytes, masked = support.bytes, support.masked

if engines.missing then
  pending("the native engine is not here: all engine specs ran on the pure one only")
end

local function describe_keys(engine)
  it("computes the accept key of RFC 6455 1.3", function()
    assert.equal("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", engine.accept_key("dGhlIHNhbXBsZSBub25jZQ=="))
  end)

  it("computes accept keys of any length", function()
    local expected = {
      [0] = "Kfh9QIsMVZcl6xEPYxPHzW8SZ8w=", "FtgH8qqfEKHvZKEZYEWkYDhlXNY=", [27] = "NCEiOv6lMC9mC8oEZnneqRdJ4DU=",
      [28] = "xMWmCBqYJY4uXzUs8PNU1t+Pzro=", [91] = "sb26ARy9y9Mjs7qWrVan4FrLgc8=",
      [92] = "QozTWdJkJ6Mr6+QwqAHt8yNpBdc=", [300] = "2+4g61hSWTGlyejTBE2EayJwAmE=",
    }
    for length, key in pairs(expected) do
      assert.equal(key, engine.accept_key(("a"):rep(length)), "length " .. length)
    end
  end)
end

local function describe_base64(engine)
  it("encodes and decodes the base64 of RFC 4648 10", function()
    local vectors = {
      [""] = "", f = "Zg==", fo = "Zm8=", foo = "Zm9v", foob = "Zm9vYg==", fooba = "Zm9vYmE=", foobar = "Zm9vYmFy",
      ["\0\255\128\0"] = "AP+AAA==", ["\251\239\190"] = "++++", ["\255\255\255"] = "////",
    }
    for plain, encoded in pairs(vectors) do
      assert.equal(encoded, engine.base64(plain))
      assert.equal(plain, engine.unbase64(encoded))
    end
  end)

  it("decodes what it encodes, every byte and length", function()
    local random = support.random(7)
    for length = 0, 100 do
      local list = {}
      for index = 1, length do
        list[index] = string.char(random(256) - 1)
      end
      local plain = table.concat(list)
      assert.equal(plain, engine.unbase64(engine.base64(plain)))
    end
  end)

  it("decodes nothing that is not strict base64", function()
    for _, text in ipairs { "Z", "Zg", "Zg=", "Zg===", "=Zg=", "Z===", "====", "Zh==", "Zm9=", "Zm9v\n", "Zm 9v",
      "Zm9vYg", "Zm9vYg==Zm9v", "Zm9-", "Zm9_", "Zm9v\0\0\0\0", "Zm\2559v" } do
      assert.is_nil(engine.unbase64(text), text)
    end
  end)
end

local function describe_random(engine)
  it("gives random bytes of any length, never the same", function()
    for _, length in ipairs { 0, 1, 4, 16, 4096, 5000, 70000 } do
      assert.equal(length, #engine.random(length))
    end
    local seen = {}
    for _ = 1, 3000 do
      local key = engine.random(16)
      assert.is_nil(seen[key])
      seen[key] = true
    end
  end)
end

local LENGTHS = { 0, 1, 125, 126, 127, 65535, 65536, 1048576 }

local function describe_writer(engine)
  it("writes what a server writes", function()
    local writer = engine.writer { role = "server" }
    assert.equal(bytes "81 05 48 65 6c 6c 6f", writer:encode(1, "Hello"))
    assert.equal(bytes "01 03 48 65 6c", writer:encode(1, "Hel", false))
    assert.equal(bytes "80 02 6c 6f", writer:encode(0, "lo", true))
    assert.equal(bytes "89 00", writer:encode(9, ""))
    assert.equal(bytes "82 7e 01 00", writer:encode(2, ("x"):rep(256)):sub(1, 4))
    assert.equal(bytes "82 7f 00 00 00 00 00 01 00 00", writer:encode(2, ("x"):rep(65536)):sub(1, 10))
    for _, length in ipairs(LENGTHS) do
      local payload = ("payload!"):rep(131072):sub(1, length)
      assert.is_true(support.frame { opcode = 2, payload = payload } == writer:encode(2, payload))
    end
  end)

  it("masks what a client writes, with a new key for every frame", function()
    local writer, keys = engine.writer { role = "client" }, {}
    for _ = 1, 2000 do
      local frame = writer:encode(1, "Hello")
      assert.equal(bytes "81 85", frame:sub(1, 2))
      assert.equal("Hello", support.mask(frame:sub(7), frame:sub(3, 6)))
      keys[frame:sub(3, 6)] = true
    end
    local count = 0
    for _ in pairs(keys) do
      count = count + 1
    end
    -- 2,000 keys of 32 bits hold one pair in 2,000 runs, never ten.
    assert.is_true(count > 1990)
  end)
end

local function describe_both_sides(engine)
  it("writes frames that the other side reads", function()
    for writer_role, reader_role in pairs { client = "server", server = "client" } do
      local writer = engine.writer { role = writer_role }
      local reader = engine.reader(support.options { role = reader_role })
      for _, length in ipairs(LENGTHS) do
        local payload = ("payload!"):rep(131072):sub(1, length)
        local list = support.read(reader, writer:encode(1, payload) .. writer:encode(2, payload))
        assert.equal(4, #list)
        assert.equal(1, list[1])
        assert.equal(2, list[3])
        assert.is_true(list[2] == payload and list[4] == payload, "length " .. length)
      end
    end
  end)

  it("clears FIN only for false", function()
    local writer = engine.writer { role = "server" }
    assert.equal(bytes "02 01 61", writer:encode(2, "a", false))
    assert.equal(bytes "82 01 61", writer:encode(2, "a", nil))
    assert.equal(bytes "82 01 61", writer:encode(2, "a", true))
  end)
end

for _, entry in ipairs(engines) do
  local engine = entry.engine

  describe("engine " .. entry.name, function()
    it("says its name", function()
      assert.equal(entry.name, engine.name)
    end)

    describe_keys(engine)
    describe_base64(engine)
    describe_random(engine)
    describe_writer(engine)
    describe_both_sides(engine)

    it("reads what the plain model writes", function()
      local reader = engine.reader(support.options())
      assert.same({ 1, "Hello", 9, "" }, support.read(reader, masked(1, "Hello") .. masked(9, "")))
    end)
  end)
end
