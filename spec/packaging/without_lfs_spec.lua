--- What is known of files where lua-filesystem is not installed: the accelerator tells, without it nothing does.
-- @module spec.packaging.without_lfs_spec

local child = require "spec.support.child"
local engine = require("websockets.engine.loader").choose()
local plain_client = require "spec.support.plain_client"

local has_accelerator = engine.name == "native"

describe("without lua-filesystem a server with the accelerator", function()
  if not has_accelerator then return end

  local SERVER = [[
    package.preload.lfs = function() error("not here") end
    local websockets = require "websockets"
    local context = websockets.context{ port = "any", interf = "127.0.0.1", on_http = websockets.files(%q) }
    io.stdout:write(websockets.engine, " ", context:get_port(), "\n")
    io.stdout:flush()
    context:run()]]

  local folder, program, port

  lazy_setup(function()
    folder = child.make_folder()
    child.run("cd " .. child.quote(folder) .. " && mkdir site && printf page >site/index.html && printf x >secret"
      .. " && touch -t 200102030405 site/index.html"
      .. " && ln -s index.html site/in && ln -s ../secret site/out && mkfifo site/pipe")
    program = child.start(child.quote(child.this_lua()) .. " -e " .. child.quote(SERVER:format(folder .. "/site")),
      [[LUA_PATH="lua/?.lua;lua/?/init.lua;;"]])
    port = program:expect("^native (%d+)")
  end)
  lazy_teardown(function()
    if program then program:stop() end
    child.remove_folder(folder)
  end)

  local function ask(target, headers)
    local c = plain_client.connect(port)
    c:request(target, headers)
    local head = c:read_head()
    c:close()
    return tonumber(head:match("^HTTP/1%.1 (%d+)")), head
  end

  it("names the version of files, and answers 304", function()
    local status, head = ask("/")
    assert.equal(200, status)
    assert.matches("\r\nLast%-Modified: %a+, %d+ %a+ %d+ [%d:]+ GMT\r\n", head)
    local etag = assert(head:match('\r\nETag: ("[^"]+")\r\n'))
    assert.equal(304, (ask("/", "If-None-Match: " .. etag .. "\r\n")))
    assert.equal(412, (ask("/", 'If-Match: "other"\r\n')))
  end)

  it("follows links that stay in the folder, and opens no pipe", function()
    for target, expected in pairs({ ["/in"] = 200, ["/out"] = 404, ["/pipe"] = 404, ["/none"] = 404 }) do
      assert.same({ target, expected }, { target, (ask(target)) })
    end
  end)
end)

describe("without lua-filesystem and accelerator", function()
  -- A Lua of its own: what has been looked for once is not looked for again.
  local function run(code)
    return child.run(([[LUA_PATH="lua/?.lua;lua/?/init.lua;;" WEBSOCKETS_NATIVE=off %s -e %s]]):format(
      child.quote(child.this_lua()), child.quote("package.preload.lfs = function() error('not here') end " .. code)))
  end

  it("files are served, but have no version", function()
    assert.equal("nil false", run([[
      local facts, engine = require "websockets.http.facts", {}
      io.write(tostring(facts.of(engine, ".")), " ", tostring(facts.are_known(engine)))]]))
  end)

  it("websockets.files raises, and says why", function()
    local text = run([[io.write(select(2, pcall(function() local f = require("websockets").files(".") f() end)))]])
    assert.matches("needs the accelerator or lua-filesystem", text, 1, true)
  end)
end)
