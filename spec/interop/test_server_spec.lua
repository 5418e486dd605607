--- The test server as people start it: from the clone, with nothing set.
-- @module spec.interop.test_server_spec

local socket = require "socket"
local child = require "spec.support.child"
local plain_client = require "spec.support.plain_client"
local define_checks = require "spec.support.test_server_checks"

local COMMAND = child.quote(child.this_lua()) .. " test-server/test-server.lua test-server/"
local LINK = "^http://127%.0%.0%.1:(%d+)/$"

describe("test-server.lua", function()
  local server, port

  lazy_setup(function()
    server = child.start(COMMAND .. " any 127.0.0.1")
    port = server:expect(LINK)
  end)

  lazy_teardown(function()
    if server then
      server:stop()
    end
  end)

  define_checks(it, function() return tonumber(port) end)

  it("ends with one line where the port is taken", function()
    local holder = assert(socket.bind("127.0.0.1", 0))
    local _, taken = holder:getsockname()
    local text, code = child.run("timeout 20 " .. COMMAND .. " " .. taken .. " 127.0.0.1")
    holder:close()
    assert.equal(1, code)
    assert.truthy(text:find("^test%-server: [^\n]*" .. taken .. "[^\n]*\n?$"), text)
  end)

  it("ends with one line where the port is none", function()
    for _, port_word in ipairs({ "0", "65536", "-1", "http", "1e3", "0x50" }) do
      local text, code = child.run("timeout 20 " .. COMMAND .. " " .. port_word)
      assert.equal(1, code)
      assert.truthy(text:find("^test%-server: [^\n]*\n?$"), text)
    end
  end)

  it("finds the library from any folder, and ends quietly on Ctrl-C", function()
    local home = child.quote((child.run("pwd"):gsub("%s+$", "")) .. "/test-server/")
    local folder = child.make_folder()
    local other = child.start(child.quote(child.this_lua()) .. " " .. home .. "test-server.lua " .. home
      .. " any 127.0.0.1", "-C " .. child.quote(folder))
    local finished, why = pcall(function()
      local client = plain_client.connect(tonumber(other:expect(LINK)))
      assert.equal(200, (client:get("/")))
      client:close()
    end)
    local rest = other:stop("INT")
    child.remove_folder(folder)
    assert(finished, why)
    assert.equal("", rest)
  end)
end)
