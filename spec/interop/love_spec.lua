--- A server and its clients inside of LÖVE: the game of examples/love-dots from a `.love`, without a screen.
-- @module spec.interop.love_spec
local child = require("spec.support.child")
local needs = require("spec.support.needs")
local ports = require("spec.support.ports")

-- LÖVE has a LuaJIT of its own: once is enough.
if not rawget(_G, "jit") or os.getenv("WEBSOCKETS_NATIVE") ~= "off" then return end

describe("inside of LÖVE", function()
  local reason = needs.reason("LÖVE", "zip or Python")
  if reason then
    pending(reason)
    return
  end

  local folder, games

  before_each(function()
    folder, games = child.make_folder(), {}
    local output, code = child.run(("cp -r examples/love-dots %s/game && cp spec/fixtures/love/*.lua %s/game && "
      .. "examples/love-dots/pack.sh %s/game %s/dots.love"):format(folder, folder, folder, folder))
    assert.equal(0, code, output)
  end)
  after_each(function()
    for _, one in ipairs(games) do one:stop() end
    child.remove_folder(folder)
  end)

  -- Far from the library: all that it needs is in the archive.
  local function start(port, number)
    local game = child.start(("sh -c %s"):format(child.quote(("cd / && exec love %s/dots.love %d %d"):format(folder,
      port, number))), "-u LUA_PATH -u LUA_CPATH XDG_DATA_HOME=" .. child.quote(folder))
    games[#games + 1] = game
    return game
  end

  it("two games see each other, and the one that stays sees that the other has gone", function()
    local port = ports.closed()
    local server = start(port, 1)
    assert.equal("server", server:expect("^role (%w+)$"))
    local guest = start(port, 2)
    assert.equal("guest", guest:expect("^role (%w+)$"))
    assert.equal("1:100,10 2:200,20", server:expect("^sees (.*)$"))
    assert.equal("1:100,10 2:200,20", guest:expect("^sees (.*)$"))
    guest:stop()
    assert.equal("1:100,10", server:expect("^alone (.*)$"))
    server:rest()
  end)

  it("main.lua and conf.lua of the example are Lua", function()
    for _, name in ipairs({ "main", "conf", "dots" }) do
      assert.is_function(loadfile("examples/love-dots/" .. name .. ".lua"))
    end
  end)
end)
