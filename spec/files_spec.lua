--- Files as answers: what is opened, what is refused.
-- @module spec.files_spec

local files = require "websockets.files"
local response = require "websockets.response"
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
    ws = { state = "http", exchange = { phase = "answer", request = { method = "GET" } } }
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
    assert.same({ 200, #text, { ["Content-Type"] = "text/html" } }, { answer.status, answer.length, answer.headers })
    assert.is_true(answer.text == text)
    assert.equal(1, #answered)
  end)

  it("calls a file without a type a row of bytes, for GET and HEAD", function()
    for _, method in ipairs({ "GET", "HEAD" }) do
      ws.exchange.request.method = method
      assert.equal(0, files.serve(ws, write("data", "x")))
      assert.same({ ["Content-Type"] = "application/octet-stream" }, answered[#answered].headers)
    end
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
