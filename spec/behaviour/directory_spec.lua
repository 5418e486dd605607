--- A folder served over HTTP: what is found, what never leaves it.
-- @module spec.behaviour.directory_spec

local child = require "spec.support.child"
local client = require "spec.support.client"
local facts = require "websockets.http.facts"
local server = require "spec.support.server"
local websockets = require "websockets"

local SETUP = [[
  mkdir -p site/sub/deep site/bare site/.well-known outside && cd site &&
  printf '<p>home' >index.html && printf 'body {}' >style.css && printf '<p>sub' >sub/index.html &&
  printf deep >sub/deep/x.txt && printf secret >../outside/secret.txt && printf hidden >.hidden &&
  printf ok >.well-known/ok.txt && printf 'a b' >'a b.txt' && printf plus >a+b.txt && printf data >noext &&
  printf x >'back\slash.txt' &&
  ln -s sub/deep/x.txt in.txt && ln -s ../../index.html sub/deep/up.html && ln -s ../outside/secret.txt out.txt &&
  ln -s ../outside outdir && ln -s sub insub && ln -s loop2 loop1 && ln -s loop1 loop2 &&
  ln -s /etc/passwd absolute && ln -s sub/../../outside/secret.txt around && ln -s . self && mkfifo pipe
]]

describe("websockets.files", function()
  local folder, root

  lazy_setup(function()
    folder = child.make_folder()
    local text, code = child.run("cd " .. child.quote(folder) .. " && { " .. SETUP .. "}")
    assert(code == 0, text)
    root = folder .. "/site"
  end)
  lazy_teardown(function() child.remove_folder(folder) end)
  after_each(server.stop_all)

  if not facts.are_known(require("websockets.engine.loader").choose()) then
    pending("needs lua-filesystem or the accelerator")
    return
  end

  local function start(options)
    return server.start({ on_http = websockets.files(root, options) })
  end

  local function get(s, target, headers, method)
    local c = client.connect(s)
    c:send(client.request(target, headers, method))
    return c:response(method)
  end

  local function expect(s, cases)
    for target, expected in pairs(cases) do
      local status, _, body = get(s, target)
      assert.same({ target, expected }, { target, type(expected) == "number" and status or body })
    end
  end

  it("serves files, the index of folders, and the type of each", function()
    local s = start()
    expect(s, { ["/"] = "<p>home", ["/index.html?x=1"] = "<p>home", ["/sub/"] = "<p>sub", ["/sub/deep/x.txt"] = "deep",
      ["/a%20b.txt"] = "a b", ["/a+b.txt"] = "plus", ["/%73tyle.css"] = "body {}", ["/noext"] = "data" })
    for target, content_type in pairs({ ["/"] = "text/html; charset=utf-8", ["/style.css"] = "text/css; charset=utf-8",
      ["/noext"] = "application/octet-stream" }) do
      assert.equal(content_type, select(2, get(s, target))["content-type"])
    end
  end)

  it("sends a folder without its slash on, with the query", function()
    local s = start()
    for target, place in pairs({ ["/sub"] = "/sub/", ["/sub?x=/y"] = "/sub/?x=/y", ["/%73ub"] = "/%73ub/" }) do
      local status, headers = get(s, target)
      assert.same({ 301, place }, { status, headers.location })
    end
    expect(s, { ["/bare/"] = 404, ["/index.html/"] = 404, ["//sub"] = 404 })
  end)

  it("refuses every spelling of a way up or around", function()
    expect(start(), {
      ["/../outside/secret.txt"] = 400, ["/%2e%2e/outside/secret.txt"] = 400, ["/.%2E/outside/secret.txt"] = 400,
      ["/sub/../../outside/secret.txt"] = 400, ["/sub/./index.html"] = 400, ["/.."] = 400, ["/sub/.."] = 400,
      ["/..%2foutside%2fsecret.txt"] = 404, ["/sub%2findex.html"] = 404, ["/..%5coutside%5csecret.txt"] = 404,
      ["/..\\outside\\secret.txt"] = 404, ["/sub\\..\\..\\outside"] = 404, ["/back%5cslash.txt"] = 404,
      ["/%252e%252e/outside/secret.txt"] = 404, ["/%c0%ae%c0%ae/outside/secret.txt"] = 404,
      ["/....//outside/secret.txt"] = 404, ["//etc/passwd"] = 404, ["///"] = 404, ["/sub//index.html"] = 404,
      ["/index.html%00"] = 400, ["/index.html%00.css"] = 400, ["/%00"] = 400, ["/%"] = 400, ["/%2"] = 400,
      ["/%zz"] = 400, ["/index.html%20"] = 404, ["/INDEX.HTML"] = 404, ["/file:///etc/passwd"] = 404,
    })
  end)

  it("follows links that stay in the folder, and no others", function()
    expect(start(), { ["/in.txt"] = "deep", ["/insub/"] = "<p>sub", ["/insub/deep/x.txt"] = "deep",
      ["/sub/deep/up.html"] = "<p>home", ["/self/self/index.html"] = "<p>home" })
    expect(start(), { ["/out.txt"] = 404, ["/outdir/secret.txt"] = 404, ["/outdir"] = 404, ["/absolute"] = 404,
      ["/around"] = 404, ["/loop1"] = 404, ["/loop1/x"] = 404 })
  end)

  it("serves a folder that is a link itself", function()
    child.run("ln -sfn site " .. child.quote(folder .. "/current"))
    local s = server.start({ on_http = websockets.files(folder .. "/current/") })
    expect(s, { ["/"] = "<p>home", ["/out.txt"] = 404 })
  end)

  it("hides names that begin with a dot, but .well-known", function()
    expect(start(), { ["/.hidden"] = 404, ["/%2ehidden"] = 404, ["/.well-known/ok.txt"] = 200 })
    expect(start({ hidden = true }), { ["/.hidden"] = 200 })
    expect(start({ hidden = true }), { ["/.."] = 400 })
  end)

  it("does not open what is no file", function()
    expect(start(), { ["/pipe"] = 404 })
  end)

  it("answers HEAD like GET without the body, other methods with 405", function()
    local s = start()
    local status, headers, body = get(s, "/style.css", nil, "HEAD")
    assert.same({ 200, "7", "" }, { status, headers["content-length"], body })
    for _, method in ipairs({ "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PROPFIND" }) do
      status, headers = get(s, "/style.css", nil, method)
      assert.same({ 405, "GET, HEAD" }, { status, headers.allow })
    end
  end)

  it("sends the compressed copy to clients that take gzip, when it is not older", function()
    child.run("cd " .. child.quote(root) .. " && printf plain >z.txt && printf packed >z.txt.gz &&"
      .. " printf plain >old.txt && printf packed >old.txt.gz && touch -d 2020-01-01 old.txt.gz")
    local s = start()
    for accepted, body in pairs({ ["gzip"] = "packed", ["br, GZIP;q=0.5"] = "packed", ["*"] = "packed",
      ["gzip;q=0"] = "plain", ["*, gzip;q=0.0"] = "plain", ["br"] = "plain", [""] = "plain", ["xgzip"] = "plain" }) do
      local status, headers, got = get(s, "/z.txt", "Accept-Encoding: " .. accepted .. "\r\n")
      assert.same({ accepted, 200, body }, { accepted, status, got })
      assert.same({ "Accept-Encoding", "text/plain; charset=utf-8" }, { headers.vary, headers["content-type"] })
      assert.equal(body == "packed" and "gzip" or nil, headers["content-encoding"])
    end
    local _, headers, body = get(s, "/old.txt", "Accept-Encoding: gzip\r\n")
    assert.same({ "plain", nil }, { body, headers.vary })
    _, headers, body = get(start({ precompressed = false }), "/z.txt", "Accept-Encoding: gzip\r\n")
    assert.same({ "plain", nil }, { body, headers.vary })
    local plain = select(2, get(s, "/z.txt")).etag
    assert.not_equal(plain, select(2, get(s, "/z.txt", "Accept-Encoding: gzip\r\n")).etag)
  end)

  it("takes index, types and cache_control as they are given", function()
    expect(start({ index = "style.css" }), { ["/"] = "body {}" })
    expect(start({ index = false }), { ["/"] = 404, ["/sub"] = 404, ["/index.html"] = 200 })
    local _, headers = get(start({ types = { css = "text/x" }, cache_control = "max-age=60" }), "/style.css")
    assert.same({ "text/x", "max-age=60" }, { headers["content-type"], headers["cache-control"] })
    local names = {}
    _, headers = get(start({ cache_control = function(name) names[#names + 1] = name return "no-store" end }), "/sub/")
    assert.same({ "no-store", { "sub/index.html" } }, { headers["cache-control"], names })
  end)

  it("answers 500 where cache_control gives what cannot be sent", function()
    local heard
    local s = server.start({ on_error = function(err) heard = err end,
      on_http = websockets.files(root, { cache_control = function() return "a\r\nb" end }) })
    assert.equal(500, (get(s, "/")))
    assert.matches("'Cache-Control'", heard, 1, true)
  end)

  it("serves what the star of its route stands for", function()
    local s = server.start({ routes = {
      ["/static/*"] = { on_http = websockets.files(root) },
      ["/s/:version/*"] = { on_http = websockets.files(root .. "/sub") },
    } })
    expect(s, { ["/static/"] = "<p>home", ["/static/sub/deep/x.txt"] = "deep", ["/s/1/deep/x.txt"] = "deep",
      ["/static"] = 404, ["/index.html"] = 404, ["/static//etc/passwd"] = 404, ["/static/..%2foutside"] = 404,
      ["/static/../outside/secret.txt"] = 400 })
    local status, headers = get(s, "/static/sub")
    assert.same({ 301, "/static/sub/" }, { status, headers.location })
  end)

  it("serves another address where the application says so", function()
    local serve = websockets.files(root)
    local s = server.start({ on_http = function(ws, uri)
      if uri == "/app" then return serve(ws, "/index.html") end
      return serve(ws, uri)
    end })
    expect(s, { ["/app"] = "<p>home", ["/style.css"] = "body {}" })
  end)
end)
