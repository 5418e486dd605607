--- Which route a path belongs to.
-- @module spec.unit.http.router_spec

local router = require "websockets.http.router"

local function new(patterns)
  local made = router.new()
  for _, pattern in ipairs(patterns) do assert(made:add(pattern, { name = pattern })) end
  return made
end

local function found(made, path)
  local match = made:match(path)
  return match and match.settings.name
end

describe("websockets.router", function()
  it("finds the most specific route, segment by segment", function()
    local made = new({ "/", "/chat/:room", "/chat/lobby", "/a/:x/c", "/a/b/d", "/a/:y/*", "/:any", "/static/*", "/*" })
    for path, expected in pairs({
      ["/"] = "/", ["/chat/lobby"] = "/chat/lobby", ["/chat/other"] = "/chat/:room", ["/chat"] = "/:any",
      ["/chat/"] = "/*", ["/chat/a/b"] = "/*", ["/a/b/c"] = "/a/:x/c", ["/a/b/d"] = "/a/b/d", ["/a/b/e"] = "/a/:y/*",
      ["/a/b/e/f"] = "/a/:y/*", ["/static"] = "/:any", ["/static/"] = "/static/*", ["/static/a/b"] = "/static/*",
      ["//"] = "/*", ["//chat/lobby"] = "/*",
    }) do
      assert.same({ path, expected }, { path, found(made, path) })
    end
  end)

  it("finds nothing where nothing fits", function()
    local made = new({ "/chat/:room", "/a" })
    for _, path in ipairs({ "/", "/chat", "/chat/", "/chat/a/", "/a/", "/A", "*", "" }) do
      assert.is_nil(made:match(path))
    end
  end)

  it("compares what is decoded, so that no spelling leads past a route", function()
    local made = new({ "/admin/*", "/*" })
    for _, path in ipairs({ "/admin/x", "/%61dmin/x", "/%61%64%6D%69%6e/x" }) do
      assert.equal("/admin/*", found(made, path))
    end
    assert.equal("/*", found(made, "/admin%2fx"))
  end)

  it("gives decoded parameters, and what a star stands for", function()
    local made = new({ "/chat/:room/:user_1", "/files/:kind/*" })
    assert.same({ room = "a b", user_1 = "x/y" }, made:match("/chat/a%20b/x%2Fy").params)
    local match = made:match("/files/img/a%20b/c%2Fd")
    assert.same({ kind = "img", ["*"] = "a b/c/d" }, match.params)
    assert.equal("/a%20b/c%2Fd", match.rest)
    assert.equal("/", made:match("/files/img/").rest)
  end)

  it("refuses a path that is badly encoded or has a way up", function()
    local made = new({ "/*" })
    for _, path in ipairs({ "/%", "/%zz", "/a%00", "/..", "/a/../b", "/%2e%2e/b", "/./a", "/a/%2E" }) do
      assert.is_false(made:match(path))
    end
  end)

  it("refuses patterns that mean nothing, naming what is wrong", function()
    for pattern, why in pairs({
      ["chat"] = "slash", [""] = "slash", ["/a?b"] = "path", ["/a b"] = "path", ["/a#b"] = "path",
      ["/*/a"] = "end only", ["/a*"] = "end only", ["/:"] = "name", ["/:1"] = "name", ["/:a-b"] = "name",
      ["/:a/:a"] = "'a' twice", ["/../a"] = "segments", ["/a/./b"] = "segments",
    }) do
      local added, message = router.new():add(pattern, {})
      assert.is_nil(added)
      assert.matches(why, message, 1, true)
    end
  end)

  it("refuses a second route for the same paths, naming the first", function()
    local made = new({ "/chat/:room", "/x/*", "/y" })
    for pattern, first in pairs({ ["/chat/:name"] = "/chat/:room", ["/x/*"] = "/x/*", ["/y"] = "/y" }) do
      assert.same({ nil, "means the same paths as '" .. first .. "'" }, { made:add(pattern, {}) })
    end
  end)

  it("costs no more than its routes for the longest path", function()
    local made = new({ "/:a/:b/:c/:d/x", "/:a/:b/:c/d/y", "/:a/:b/c/d/z", "/a/b/c/d/e" })
    assert.is_nil(made:match("/a/b/c/d/w"))
    assert.is_nil(made:match(("/a"):rep(4000)))
  end)
end)
