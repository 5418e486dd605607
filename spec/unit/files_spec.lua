--- What `websockets.files` is given.
-- @module spec.unit.files_spec

local child = require "spec.support.child"
local facts = require "websockets.http.facts"
local websockets = require "websockets"

describe("websockets.files", function()
  if not facts.are_known(require("websockets.engine.loader").choose()) then
    pending("needs lua-filesystem or the accelerator")
    return
  end

  local folder

  lazy_setup(function()
    folder = child.make_folder()
    child.run("printf page >" .. child.quote(folder .. "/index.html"))
  end)
  lazy_teardown(function() child.remove_folder(folder) end)

  it("takes a folder, with or without a slash at its end", function()
    assert.is_function((websockets.files(folder)))
    assert.is_function((websockets.files(folder .. "/", { index = false, hidden = true })))
  end)

  local function refusal(...)
    local arguments = { ... }
    local is_good, message = pcall(function()
      local serve = websockets.files(arguments[1], arguments[2])
      return serve
    end)
    assert.is_false(is_good)
    assert.matches("^.*files_spec.lua:%d+: ", message)
    return message
  end

  it("raises for what is no folder", function()
    assert.matches("bad argument #1 to 'files' (path of a folder expected, got no value)", refusal(), 1, true)
    for _, root in ipairs({ folder .. "/none", folder .. "/index.html", "", 5 }) do
      assert.matches("bad argument #1 to 'files' (path of a folder expected", refusal(root), 1, true)
    end
  end)

  it("raises for a wrong option", function()
    assert.matches("bad argument #2 to 'files' (table of options expected, got 5)", refusal(folder, 5), 1, true)
    assert.matches("unknown option 'indx'", refusal(folder, { indx = "x" }), 1, true)
    assert.matches("bad option 'hidden' (boolean expected, got 1)", refusal(folder, { hidden = 1 }), 1, true)
  end)
end)
