--- A file as an answer: what is opened, which status, headers and part.
-- @module spec.unit.http.files_spec

local engine = require("websockets.engine.loader").choose()
local files = require "websockets.http.files"
local facts = require "websockets.http.facts"
local child = require "spec.support.child"

describe("files.answer", function()
  local folder, request

  local function write_fresh(name, text)
    local path = folder .. "/" .. name
    local file = assert(io.open(path, "wb"))
    file:write(text)
    file:close()
    return path
  end

  -- A file whose date has settled.
  local function write(name, text)
    local path = write_fresh(name, text)
    child.run("touch -t 200102030405 " .. child.quote(path))
    return path
  end

  -- The answer, with what would be sent of the file as its body.
  local function answer(path, content_type, more)
    local made = files.answer(engine, request, path, content_type, more)
    if made.file then
      assert.is_nil(made.body)
      made.body = made.file:read("*a"):sub(1, made.length)
      made.file:close()
    end
    return made
  end

  lazy_setup(function() folder = child.make_folder() end)
  lazy_teardown(function() child.remove_folder(folder) end)
  before_each(function() request = { method = "GET", headers = {} } end)

  it("gives all bytes of a file, its length and its type", function()
    local text = "\0\r\n\26\255" .. ("x"):rep(100000)
    local made = answer(write("data", text), "text/html")
    assert.same({ 200, #text, "text/html" }, { made.status, made.length, made.headers["Content-Type"] })
    assert.is_true(made.body == text)
  end)

  it("calls a file without a type a row of bytes, for GET and HEAD", function()
    for _, method in ipairs({ "GET", "HEAD" }) do
      request.method = method
      assert.equal("application/octet-stream", answer(write("data", "x")).headers["Content-Type"])
    end
  end)

  it("guesses the type by the name where none is given", function()
    assert.equal("text/html; charset=utf-8", answer(write("page.html", "x")).headers["Content-Type"])
    assert.equal("text/plain", answer(write("page.html", "x"), "text/plain").headers["Content-Type"])
  end)

  it("names the version of a file, when it changed, and that parts can be had", function()
    local headers = answer(write("data", "x")).headers
    assert.matches('^"%d+%-1%-%d+[%.%d]*"$', headers.ETag)
    assert.matches("^%a%a%a, %d%d %a%a%a %d%d%d%d %d%d:%d%d:%d%d GMT$", headers["Last-Modified"])
    assert.equal("bytes", headers["Accept-Ranges"])
  end)

  -- Looks at a file as a file system shows it that knows whole seconds; what it says is `age` seconds old.
  local function with_whole_seconds(work)
    local saved_of, now, age = facts.of, math.floor(require("socket").gettime()), 0
    finally(function() facts.of = saved_of end)
    facts.of = function(...)
      local known = saved_of(...)
      if known then known.mtime = now - age end
      return known
    end
    work(function(seconds) age = seconds end)
  end

  it("tells two versions within a second apart: small files by their bytes", function()
    if not facts.are_known(engine) then return pending("needs lua-filesystem or the accelerator") end
    with_whole_seconds(function()
      local first = answer(write_fresh("data", "one")).headers.ETag
      assert.matches('^"', first)
      request.headers = { ["if-none-match"] = first }
      assert.equal(304, answer(folder .. "/data").status)
      for _, headers in ipairs({
        { ["if-none-match"] = first }, { ["if-range"] = first, range = "bytes=0-0" },
        { ["if-modified-since"] = "Sun, 06 Nov 2094 08:49:37 GMT" },
      }) do
        request.headers = headers
        local made = answer(write_fresh("data", "two"))
        assert.same({ 200, "two" }, { made.status, made.body })
        assert.is_nil(made.headers["Last-Modified"])
      end
      request.headers = { ["if-match"] = first }
      assert.equal(412, answer(folder .. "/data").status)
    end)
  end)

  it("names no version of a large file that was just changed, and never 304 or 206 for another", function()
    if not facts.are_known(engine) then return pending("needs lua-filesystem or the accelerator") end
    with_whole_seconds(function(set_age)
      local path = write_fresh("data", ("x"):rep(20000))
      set_age(3)
      local settled = answer(path).headers.ETag
      assert.matches('^"', settled)
      set_age(0)
      for _, headers in ipairs({ { ["if-none-match"] = settled }, { ["if-range"] = settled, range = "bytes=0-0" } }) do
        request.headers = headers
        local made = answer(path)
        assert.same({ 200, 20000 }, { made.status, made.length })
        assert.same({ nil, nil, n = 2 }, { made.headers.ETag, made.headers["Last-Modified"], n = 2 })
      end
    end)
  end)

  it("names no version of a file that is not the one that was looked at", function()
    if not facts.are_known(engine) then return pending("needs lua-filesystem or the accelerator") end
    local path, saved_open = write("data", "one"), io.open
    finally(function() rawset(io, "open", saved_open) end)
    for _, first in ipairs({ true, false }) do
      rawset(io, "open", function(...)
        local before = not first and saved_open(...)
        local other = folder .. "/other"
        local file = assert(saved_open(other, "wb"))
        file:write(first and "two" or "six")
        file:close()
        child.run(("touch -t 200102030405 %s && mv %s %s"):format(other, other, path))
        return before or saved_open(...)
      end)
      assert.is_nil(answer(path).headers.ETag)
    end
    rawset(io, "open", saved_open)
    assert.matches('^"', answer(path).headers.ETag)
  end)

  it("answers 503 where no descriptor or memory is left to open it, 404 where it may not be read", function()
    local saved_open = io.open
    finally(function() rawset(io, "open", saved_open) end)
    for number, status in pairs({ [12] = 503, [23] = 503, [24] = 503, [2] = 404, [13] = 404, [20] = 404 }) do
      rawset(io, "open", function() return nil, "not opened", number end)
      local made = answer(folder .. "/data")
      assert.same({ number, status, status == 503 and "1" or nil },
        { number, made.status, made.headers["Retry-After"] })
    end
  end)

  it("adds further headers", function()
    local headers = answer(write("data", "x"), nil, { ["Cache-Control"] = "no-cache" }).headers
    assert.equal("no-cache", headers["Cache-Control"])
  end)

  it("answers without a version where nobody knows about files", function()
    local saved_of = facts.of
    finally(function() facts.of = saved_of end)
    facts.of = function() end
    request.headers = { ["if-none-match"] = "*", ["if-modified-since"] = "Sun, 06 Nov 2094 08:49:37 GMT" }
    local made = answer(write("data", "abc"))
    assert.same({ 200, "abc" }, { made.status, made.body })
    assert.is_nil(made.headers.ETag)
    assert.is_nil(made.headers["Last-Modified"])
    request.headers = { range = "bytes=1-" }
    made = answer(folder .. "/data")
    assert.same({ 206, "bc" }, { made.status, made.body })
  end)

  it("answers 304 to who has this version, 412 to who wants another", function()
    local etag = answer(write("data", "abc")).headers.ETag
    request.headers["if-none-match"] = etag
    local made = answer(folder .. "/data", nil, { ["Content-Encoding"] = "gzip", Vary = "Accept-Encoding" })
    assert.same({ 304, "", etag, "Accept-Encoding" }, { made.status, made.body, made.headers.ETag, made.headers.Vary })
    assert.is_nil(made.headers["Content-Encoding"])
    assert.is_nil(made.headers["Content-Type"])
    request.headers = { ["if-match"] = '"other"' }
    assert.equal(412, answer(folder .. "/data").status)
  end)

  it("answers one range with 206, an impossible one with 416, several and HEAD with all", function()
    local path, headers = write("data", "0123456789"), request.headers
    for _, case in ipairs({ { "bytes=2-4", "234", "bytes 2-4/10" }, { "bytes=-3", "789", "bytes 7-9/10" },
      { "bytes=8-", "89", "bytes 8-9/10" }, { "bytes=0-99", "0123456789", "bytes 0-9/10" } }) do
      headers.range = case[1]
      local made = answer(path)
      assert.same({ 206, case[3], case[2] }, { made.status, made.headers["Content-Range"], made.body })
    end
    headers.range = "bytes=10-"
    local made = answer(path, "image/png", { Vary = "Accept-Encoding", ["Content-Encoding"] = "gzip" })
    assert.same({ 416, "bytes */10", "416 Range Not Satisfiable\n" },
      { made.status, made.headers["Content-Range"], made.body })
    assert.same({ "text/plain; charset=utf-8", "Accept-Encoding" },
      { made.headers["Content-Type"], made.headers.Vary })
    assert.is_nil(made.headers["Content-Encoding"])
    headers.range = "bytes=0-1,3-4"
    assert.equal(200, answer(path).status)
    headers.range, request.method = "bytes=0-1", "HEAD"
    assert.equal(200, answer(path).status)
  end)

  it("does not open what is no file: a pipe would make it wait", function()
    if not facts.are_known(engine) then return pending("needs lua-filesystem or the accelerator") end
    child.run("mkfifo " .. child.quote(folder .. "/pipe"))
    assert.equal(404, answer(folder .. "/pipe").status)
  end)

  it("gives an empty file", function()
    local made = answer(write("empty", ""), "text/plain")
    assert.same({ 0, "" }, { made.length, made.body })
  end)

  it("answers 404 where there is no file", function()
    write("data", "x")
    for _, path in ipairs({ folder .. "/missing", folder, "", folder .. "/data/", folder .. "/data\0.txt" }) do
      local made = answer(path, "text/plain")
      assert.same({ 404, "404 Not Found\n" }, { made.status, made.body })
    end
  end)

  it("closes what it opened and does not send", function()
    local saved_open, closed = io.open, 0
    finally(function() rawset(io, "open", saved_open) end)
    local function fake(length)
      rawset(io, "open", function()
        return { read = function() return "x" end, seek = function() return length, "Illegal seek", 29 end,
          close = function() closed = closed + 1 end }
      end)
    end
    fake(nil)
    assert.equal(404, answer("pipe").status)
    assert.equal(1, closed)
    fake(10)
    request.headers.range = "bytes=10-"
    assert.equal(416, answer("none").status)
    assert.equal(2, closed)
  end)

  it("answers 405 and Allow to other methods", function()
    request.method = "POST"
    local made = answer(write("data", "x"))
    assert.same({ 405, "GET, HEAD" }, { made.status, made.headers.Allow })
  end)
end)
