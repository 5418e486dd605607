--- Answers of files carried out: what is sent, what the caller is told.
-- @module spec.unit.server.files_spec

local engine = require("websockets.engine.loader").choose()
local files = require "websockets.server.files"
local response = require "websockets.server.response"
local child = require "spec.support.child"

describe("files.serve", function()
  local folder, ws, sent, saved

  lazy_setup(function()
    folder = child.make_folder()
    child.run("printf abc >" .. child.quote(folder .. "/data"))
  end)
  lazy_teardown(function() child.remove_folder(folder) end)

  before_each(function()
    sent = {}
    ws = {
      state = "http", context = { engine = engine },
      phase = { stage = "answer", calling = true, request = { method = "GET", headers = {} } },
    }
    saved = { response.respond, response.respond_file }
    response.respond = function(_, status, headers, text)
      sent[#sent + 1] = { status, headers["Content-Type"], text }
      return 0
    end
    response.respond_file = function(_, status, headers, file, length)
      sent[#sent + 1] = { status, headers["Content-Type"], file:read("*a"), length }
      file:close()
      return 0
    end
  end)
  after_each(function() response.respond, response.respond_file = saved[1], saved[2] end)

  it("sends a file and gives 0", function()
    assert.equal(0, files.serve(ws, folder .. "/data", "text/x"))
    assert.same({ { 200, "text/x", "abc", 3 } }, sent)
  end)

  it("sends what is no file: 0 for 304, -1 for an error", function()
    assert.equal(-1, files.serve(ws, folder .. "/missing"))
    ws.phase.request.headers["if-modified-since"] = "Sun, 06 Nov 2094 08:49:37 GMT"
    local facts = require "websockets.http.facts"
    local saved_of = facts.of
    finally(function() facts.of = saved_of end)
    facts.of = function() return { kind = "file", size = 3, mtime = 1, inode = 1 } end
    assert.equal(0, files.serve(ws, folder .. "/data"))
    assert.same({ { 404, "text/plain; charset=utf-8", "404 Not Found\n" }, { 304, nil, "" } }, sent)
  end)

  it("sends nothing where no request waits for it", function()
    for _, case in ipairs({ { "closed", false, "closed" }, { "open", false, "type" }, { "draining", false, "type" },
      { "http", "head", "type" }, { "http", "file", "type" }, { "http", "body", "type" },
      { "http", "answer", "type" } }) do
      ws.state = case[1]
      ws.phase = case[2] and { stage = case[2], request = false }
      assert.same({ -1, case[3] }, { files.serve(ws, folder .. "/data") })
      assert.same({ -1, case[3] }, { files.serve_folder(ws, nil, folder, {}) })
    end
    assert.same({}, sent)
  end)
end)
