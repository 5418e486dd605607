--- Media types by the end of a name.
-- @module spec.unit.http.mime_spec

local mime = require "websockets.http.mime"

describe("websockets.mime", function()
  it("guesses the type by the extension, whatever its case", function()
    for path, expected in pairs({
      ["index.html"] = "text/html; charset=utf-8", ["a/b.CSS"] = "text/css; charset=utf-8",
      ["x.min.js"] = "text/javascript; charset=utf-8", ["p.png"] = "image/png", ["d.json"] = "application/json",
      ["w.wasm"] = "application/wasm", ["f.woff2"] = "font/woff2", ["s.svg"] = "image/svg+xml",
    }) do
      assert.equal(expected, mime.guess(path))
    end
  end)

  it("calls what it does not know a row of bytes", function()
    for _, path in ipairs({ "Makefile", "a.unknown", "html", ".html", "dir.html/file", "a.", "", "a.html/" }) do
      assert.equal("application/octet-stream", mime.guess(path))
    end
  end)

  it("takes the application's types first", function()
    assert.equal("text/x", mime.guess("a.html", { html = "text/x" }))
    assert.equal("text/y", mime.guess("a.yyy", { yyy = "text/y" }))
    assert.equal("image/png", mime.guess("a.png", { yyy = "text/y" }))
  end)
end)
