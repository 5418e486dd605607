--- The fuzz targets in Lua, over the seeds in fuzz/seeds. `make rust` does the same for those in Rust.
-- @module spec.packaging.fuzz_seeds_spec

package.path = "./?.lua;" .. package.path

local read = require("spec.support.file").read

local function paths(folder)
  local pipe = assert(io.popen("find " .. folder .. " -type f | LC_ALL=C sort"))
  local list = {}
  for path in pipe:lines() do list[#list + 1] = path end
  pipe:close()
  return list
end

describe("the fuzz target", function()
  for _, name in ipairs({ "answers", "http", "offers" }) do
    it(name .. " finds nothing in its seeds", function()
      local run, seeds = require("fuzz.lua." .. name), paths("fuzz/seeds/" .. name)
      assert.is_true(#seeds >= 10)
      for _, path in ipairs(seeds) do
        local is_good, err = pcall(run, read(path))
        assert(is_good, path .. ": " .. tostring(err))
      end
    end)
  end
end)
