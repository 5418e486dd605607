--- Files as answers: what is opened, what is refused.
-- @module spec.unit.server.files_spec

local engine = require("websockets.engine.loader").choose()
local files = require "websockets.server.files"
local facts = require "websockets.http.facts"
local response = require "websockets.server.response"
local child = require "spec.support.child"

describe("websockets.files", function()
  local folder, ws, answered, saved

  local function write(name, text)
    local path = folder .. "/" .. name
    local file = assert(io.open(path, "wb"))
    file:write(text)
    file:close()
    return path
  end

  lazy_setup(function() folder = child.make_folder() end)
  lazy_teardown(function() child.remove_folder(folder) end)

  before_each(function()
    answered = {}
    ws = {
      state = "http", context = { engine = engine },
      exchange = { phase = "answer", calling = true, request = { method = "GET", headers = {} } },
    }
    saved = { response.respond, response.respond_file }
    response.respond = function(_, status, headers, text)
      answered[#answered + 1] = { status = status, headers = headers, text = text }
      return 0
    end
    response.respond_file = function(_, status, headers, file, length)
      answered[#answered + 1] = { status = status, headers = headers, text = file:read("*a"), length = length }
      file:close()
      return 0
    end
  end)

  after_each(function() response.respond, response.respond_file = saved[1], saved[2] end)

  it("answers with all bytes of a file, its length and its type", function()
    local text = "\0\r\n\26\255" .. ("x"):rep(100000)
    assert.equal(0, files.serve(ws, write("data", text), "text/html"))
    local answer = answered[1]
    assert.same({ 200, #text, "text/html" }, { answer.status, answer.length, answer.headers["Content-Type"] })
    assert.is_true(answer.text == text)
    assert.equal(1, #answered)
  end)

  it("calls a file without a type a row of bytes, for GET and HEAD", function()
    for _, method in ipairs({ "GET", "HEAD" }) do
      ws.exchange.request.method = method
      assert.equal(0, files.serve(ws, write("data", "x")))
      assert.equal("application/octet-stream", answered[#answered].headers["Content-Type"])
    end
  end)

  it("guesses the type by the name where none is given", function()
    files.serve(ws, write("page.html", "x"))
    files.serve(ws, write("page.html", "x"), "text/plain")
    assert.equal("text/html; charset=utf-8", answered[1].headers["Content-Type"])
    assert.equal("text/plain", answered[2].headers["Content-Type"])
  end)

  it("names the version of a file, when it changed, and that parts can be had", function()
    files.serve(ws, write("data", "x"))
    local headers = answered[1].headers
    assert.matches('^"%d+%-1%-%d+[%.%d]*"$', headers.ETag)
    assert.matches("^%a%a%a, %d%d %a%a%a %d%d%d%d %d%d:%d%d:%d%d GMT$", headers["Last-Modified"])
    assert.equal("bytes", headers["Accept-Ranges"])
  end)

  it("answers without a version where nobody knows about files", function()
    local saved_of = facts.of
    finally(function() facts.of = saved_of end)
    facts.of = function() end
    ws.exchange.request.headers = { ["if-none-match"] = "*", ["if-modified-since"] = "Sun, 06 Nov 2094 08:49:37 GMT" }
    assert.equal(0, files.serve(ws, write("data", "abc")))
    assert.same({ 200, "abc" }, { answered[1].status, answered[1].text })
    assert.is_nil(answered[1].headers.ETag)
    assert.is_nil(answered[1].headers["Last-Modified"])
    ws.exchange.request.headers = { range = "bytes=1-" }
    files.serve(ws, folder .. "/data")
    assert.same({ 206, "bc" }, { answered[2].status, answered[2].text })
  end)

  it("answers 304 to who has this version, 412 to who wants another", function()
    files.serve(ws, write("data", "abc"))
    local headers = ws.exchange.request.headers
    headers["if-none-match"] = answered[1].headers.ETag
    assert.equal(0, files.serve(ws, folder .. "/data"))
    assert.same({ 304, "" }, { answered[2].status, answered[2].text })
    assert.equal(answered[1].headers.ETag, answered[2].headers.ETag)
    headers["if-none-match"], headers["if-match"] = nil, '"other"'
    assert.equal(-1, (files.serve(ws, folder .. "/data")))
    assert.equal(412, answered[3].status)
  end)

  it("answers one range with 206, an impossible one with 416, several and HEAD with all", function()
    local path, headers = write("data", "0123456789"), ws.exchange.request.headers
    for _, case in ipairs({ { "bytes=2-4", "234", "bytes 2-4/10" }, { "bytes=-3", "789", "bytes 7-9/10" },
      { "bytes=8-", "89", "bytes 8-9/10" }, { "bytes=0-99", "0123456789", "bytes 0-9/10" } }) do
      headers.range, answered = case[1], {}
      assert.equal(0, files.serve(ws, path))
      assert.same({ 206, case[3] }, { answered[1].status, answered[1].headers["Content-Range"] })
      assert.equal(case[2], answered[1].text:sub(1, answered[1].length))
    end
    answered, headers.range = {}, "bytes=10-"
    assert.equal(-1, (files.serve(ws, path)))
    assert.same({ 416, "bytes */10" }, { answered[1].status, answered[1].headers["Content-Range"] })
    headers.range = "bytes=0-1,3-4"
    files.serve(ws, path)
    headers.range, ws.exchange.request.method = "bytes=0-1", "HEAD"
    files.serve(ws, path)
    assert.same({ 200, 200 }, { answered[2].status, answered[3].status })
  end)

  it("does not open what is no file: a pipe would make it wait", function()
    if not facts.are_known(engine) then return pending("needs lua-filesystem or the accelerator") end
    child.run("mkfifo " .. child.quote(folder .. "/pipe"))
    assert.equal(-1, (files.serve(ws, folder .. "/pipe")))
    assert.equal(404, answered[1].status)
  end)

  it("answers with an empty file", function()
    assert.equal(0, files.serve(ws, write("empty", ""), "text/plain"))
    assert.same({ 0, "" }, { answered[1].length, answered[1].text })
  end)

  it("answers 404 where there is no file, and tells the caller", function()
    write("data", "x")
    for _, path in ipairs({ folder .. "/missing", folder, "", folder .. "/data/", folder .. "/data\0.txt" }) do
      answered = {}
      assert.equal(-1, (files.serve(ws, path, "text/plain")))
      assert.same({ 1, 404 }, { #answered, answered[1].status })
    end
  end)

  it("answers 404 for what has no length", function()
    local saved_open, closed = io.open, false
    finally(function() rawset(io, "open", saved_open) end)
    rawset(io, "open", function()
      return { read = function() return "x" end, seek = function() return nil, "Illegal seek", 29 end,
        close = function() closed = true end }
    end)
    assert.equal(-1, (files.serve(ws, "pipe", "text/plain")))
    assert.same({ 404, true }, { answered[1].status, closed })
  end)

  it("answers 405 and Allow to other methods", function()
    ws.exchange.request.method = "POST"
    assert.equal(-1, (files.serve(ws, write("data", "x"))))
    assert.same({ 405, "GET, HEAD" }, { answered[1].status, answered[1].headers.Allow })
  end)

  it("answers nothing where no request waits for it", function()
    local path = write("data", "x")
    for _, case in ipairs({ { "closed", false, "closed" }, { "open", false, "type" }, { "ending", false, "type" },
      { "http", "head", "type" }, { "http", "file", "type" }, { "http", "body", "type" } }) do
      ws.state = case[1]
      ws.exchange = case[2] and { phase = case[2] }
      assert.same({ -1, case[3] }, { files.serve(ws, path) })
    end
    assert.same({}, answered)
  end)
end)
