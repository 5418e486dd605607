--- That the benchmarks in Lua still run on the library as it is; what they measure is not judged here.
-- @module spec.packaging.bench_spec

local child = require "spec.support.child"

describe("bench/coroutines.lua", function()
  it("compares coroutines with callbacks", function()
    local text = child.run(child.quote(child.this_lua()) .. " bench/coroutines.lua 1")
    assert.matches("connections, 1 in flight on each:\n  callbacks: %d+ ns a message, 1.00 times\n", text)
    assert.matches("coroutines with a timeout: %d+ ns a message, [%d.]+ times\n$", text)
  end)
end)

describe("bench/mask.lua", function()
  it("measures masking and reading", function()
    local text = child.run(child.quote(child.this_lua()) .. " bench/mask.lua 1")
    assert.matches("mask 1 MiB: naive [%d.]+, ours [%d.]+ ns/byte", text)
    assert.matches("read 1 MiB, opcode 2, in pieces of 1: [%d.]+ ns/byte", text)
  end)
end)

describe("bench/topics.lua", function()
  it("measures subscriptions and a publication beside a broadcast", function()
    local command = child.quote(child.this_lua()) .. " bench/topics.lua 200 10 50 3"
    local text = child.run(child.library_path() .. " " .. command)
    assert.matches("2000 subscriptions: +[%d.]+ bytes each", text)
    assert.matches("real connections: broadcast [%d.]+ us each, topic [%d.]+ us each, ratio [%d.]+", text)
  end)
end)
