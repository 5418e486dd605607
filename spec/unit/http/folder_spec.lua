--- Which file of a folder a path names, decided over a file system that exists in memory only.
-- @module spec.unit.http.folder_spec

local folder = require "websockets.http.folder"

-- Path -> kind, or `{ link target }`.
local TREE = {
  ["/site"] = "directory", ["/site/sub"] = "directory", ["/site/index.html"] = "file", ["/site/a.css"] = "file",
  ["/site/a.css.gz"] = "file", ["/site/.hidden"] = "file", ["/site/pipe"] = "fifo", ["/secret"] = "file",
  ["/site/up"] = { "../secret" }, ["/site/away"] = { "/secret" }, ["/site/drive"] = { "c:secret" },
  ["/site/round"] = { "round" }, ["/site/blind"] = {}, ["/site/sub/home"] = { "../index.html" },
  ["/site/long"] = { "sub/home" },
}
local MTIMES = { ["/site/a.css.gz"] = 2 }

local ENGINE = {}

function ENGINE.link_facts(path)
  local known = TREE[path]
  if type(known) == "table" then return { kind = "link", target = known[1] } end
  return known and { kind = known }
end

function ENGINE.file_facts(path)
  return type(TREE[path]) == "string"
    and { kind = TREE[path], size = 1, mtime = MTIMES[path] or 1, inode = 1, device = 1 } or nil
end

describe("folder.answer", function()
  local opened, saved_open

  before_each(function()
    opened, saved_open = nil, io.open
    rawset(io, "open", function(path)
      opened = path
      return { read = function() return "x" end, seek = function() return 1 end, close = function() end }
    end)
  end)
  after_each(function() rawset(io, "open", saved_open) end)

  local function answer(target, settings, request, below)
    settings = settings or { index = "index.html", precompressed = true }
    request = request or { method = "GET", headers = {} }
    local made = folder.answer(ENGINE, request, target, below, "/site", settings)
    return made.status, made
  end

  it("finds files, the index, and links that stay inside", function()
    for target, path in pairs({ ["/"] = "/site/index.html", ["/a.css?x"] = "/site/a.css",
      ["/sub/home"] = "/site/index.html", ["/long"] = "/site/index.html" }) do
      assert.same({ 200, path }, { (answer(target)), opened })
    end
  end)

  it("takes the part below a route instead of the target", function()
    assert.same({ 200, "/site/a.css" }, { (answer("/static/a.css", nil, nil, "/a.css")), opened })
    local status, made = answer("/static/sub?x=1", nil, nil, "/sub")
    assert.same({ 301, "/static/sub/?x=1" }, { status, made.headers.Location })
  end)

  it("opens nothing that is hidden, outside, or no file", function()
    for target, status in pairs({ ["/.hidden"] = 404, ["/up"] = 404, ["/away"] = 404, ["/drive"] = 404,
      ["/round"] = 404, ["/blind"] = 404, ["/pipe"] = 404, ["/none"] = 404, ["/none/x"] = 404, ["//a.css"] = 404,
      ["/../secret"] = 400, ["/%00"] = 400, ["/..%2fsecret"] = 404, ["/sub%5chome"] = 404, ["/sub/"] = 404,
      ["/sub"] = 301 }) do
      assert.same({ target, status }, { target, (answer(target)) })
    end
    assert.is_nil(opened)
    assert.same({ 200, "/site/.hidden" }, { (answer("/.hidden", { index = false, hidden = true })), opened })
  end)

  it("answers 404 for folders if there is no index", function()
    for _, target in ipairs({ "/", "/sub", "/sub/" }) do assert.equal(404, (answer(target, { index = false }))) end
  end)

  it("gives the compressed copy to clients that take gzip, and says that others get another", function()
    local function encoding(accepted)
      local _, made = answer("/a.css", nil, { method = "GET", headers = { ["accept-encoding"] = accepted } })
      assert.same({ "Accept-Encoding", "text/css; charset=utf-8" }, { made.headers.Vary, made.headers["Content-Type"] })
      return made.headers["Content-Encoding"], opened
    end
    assert.same({ "gzip", "/site/a.css.gz" }, { encoding("br, GZIP;q=0.5") })
    assert.same({ nil, "/site/a.css" }, { encoding("*, gzip;q=0.0") })
    assert.same({ nil, "/site/a.css" }, { encoding(nil) })
  end)

  it("asks cache_control for each file, and refuses what cannot be sent", function()
    local name
    local _, made = answer("/", { index = "index.html", cache_control = function(asked)
      name = asked
      return "no-store"
    end })
    assert.same({ "index.html", "no-store" }, { name, made.headers["Cache-Control"] })
    assert.has_error(function() answer("/a.css", { cache_control = function() return "a\r\nb" end }) end)
  end)

  it("answers other methods with 405", function()
    local status, made = answer("/none", nil, { method = "POST", headers = {} })
    assert.same({ 405, "GET, HEAD" }, { status, made.headers.Allow })
  end)
end)
