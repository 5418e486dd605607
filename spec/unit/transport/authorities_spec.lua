--- Where the certificate authorities of the system are.
-- @module spec.unit.transport.authorities_spec

local authorities = require "websockets.transport.authorities"
local child = require "spec.support.child"

local NOWHERE = "/nonexistent/authorities.pem"

-- What a program says that has these variables; LUA_PATH is that of this run.
local FIND = [[
package.path = %q
local found, why = require("websockets.transport.authorities").find(%s)
print(found and ("cafile %%s, capath %%s"):format(tostring(found.cafile), tostring(found.capath)) or why)
]]

local function find(environment, places)
  local program = FIND:format(package.path, places or "")
  local text, code = child.run(("env -u SSL_CERT_FILE -u SSL_CERT_DIR %s %s -e %s"):format(environment,
    child.quote(child.this_lua()), child.quote(program)))
  assert.equal(0, code, text)
  return (text:gsub("\n$", ""))
end

describe("websockets.transport.authorities", function()
  local folder, file

  before_each(function()
    folder = child.make_folder()
    file = folder .. "/some.pem"
    local made = assert(io.open(file, "w"))
    made:write("certificates\n")
    made:close()
  end)

  after_each(function() child.remove_folder(folder) end)

  it("takes the first place that has any", function()
    assert.equal(("cafile %s, capath nil"):format(file), find("", ("{ %q, %q, %q }"):format(NOWHERE, file, NOWHERE)))
  end)

  it("passes over a file that is empty, and a folder", function()
    local empty = folder .. "/empty.pem"
    assert(io.open(empty, "w")):close()
    assert.equal(("cafile %s, capath nil"):format(file), find("", ("{ %q, %q, %q }"):format(empty, folder, file)))
  end)

  it("says that none were found, and what was looked for", function()
    assert.equal("no certificate authorities were found; looked for SSL_CERT_FILE, SSL_CERT_DIR, " .. NOWHERE
      .. ". Name yours by tls = { cafile = path }", find("", ("{ %q }"):format(NOWHERE)))
  end)

  it("takes those of the environment, and no others", function()
    assert.equal(("cafile %s, capath nil"):format(file), find("SSL_CERT_FILE=" .. file))
    assert.equal(("cafile nil, capath %s"):format(folder), find("SSL_CERT_DIR=" .. folder))
    assert.equal(("cafile %s, capath %s"):format(file, folder),
      find(("SSL_CERT_FILE=%s SSL_CERT_DIR=/nonexistent:%s"):format(file, folder)))
    assert.equal(("cafile nil, capath %s:/tmp"):format(folder), find(("SSL_CERT_DIR=%s:/tmp"):format(folder)))
    assert.equal(("cafile %s, capath nil"):format(file),
      find("SSL_CERT_FILE= SSL_CERT_DIR=", ("{ %q }"):format(file)))
  end)

  it("goes nowhere else when those of the environment are not there", function()
    assert.equal("no certificate authorities: SSL_CERT_FILE cannot be read: /nonexistent: No such file or directory",
      find("SSL_CERT_FILE=/nonexistent", ("{ %q }"):format(file)))
    assert.equal(("no certificate authorities: SSL_CERT_FILE cannot be read: %s: Is a directory"):format(folder),
      find("SSL_CERT_FILE=" .. folder, ("{ %q }"):format(file)))
    assert.equal("no certificate authorities: SSL_CERT_DIR cannot be opened: /nonexistent: No such file or directory",
      find("SSL_CERT_DIR=/nonexistent", ("{ %q }"):format(file)))
  end)

  it("knows where this machine has them, where it has any", function()
    local is_here = io.open("/etc/ssl/certs/ca-certificates.crt") ~= nil
    if not is_here then return pending("needs certificate authorities in Debian's place") end
    assert.equal("cafile /etc/ssl/certs/ca-certificates.crt, capath nil", find(""))
    assert.equal("/etc/ssl/certs/ca-certificates.crt", authorities.PLACES[1])
  end)
end)
