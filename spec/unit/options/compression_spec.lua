--- The option `compression`: what it may be, and where it raises.
-- @module spec.unit.options.compression_spec
local compression = require("websockets.options.compression")

describe("the option compression", function()
  it("is true, false, or a table of what RFC 7692 names, level and threshold", function()
    for _, value in ipairs({ true, false, {}, { level = 1 }, { level = 9, threshold = 0 },
      { server_no_context_takeover = true, client_no_context_takeover = false },
      { server_max_window_bits = 9, client_max_window_bits = 15 } }) do
      assert.is_true(compression.check(value))
    end
    for _, value in ipairs({ 1, "true", { level = 0 }, { level = 10 }, { level = 1.5 }, { threshold = -1 },
      { threshold = "1" }, { server_max_window_bits = 8 }, { server_max_window_bits = 16 },
      { client_max_window_bits = 8 }, { client_max_window_bits = true }, { server_no_context_takeover = 1 },
      { window_bits = 10 }, { true } }) do
      assert.is_false(compression.check(value))
    end
  end)

  it("raises where there is nothing to compress with, saying why", function()
    local unable = { can_compress = function() return nil, "lua-zlib is not installed" end }
    local is_good, err = pcall(compression.settle, true, {}, unable, 1)
    assert.is_false(is_good)
    assert.matches("option 'compression' is not available: lua%-zlib is not installed", err)
    assert.is_false(pcall(compression.settle, true, {}, {}, 1))
    assert.is_false(compression.settle(false, {}, unable, 1))
  end)
end)
