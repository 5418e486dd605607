--- HTTP as curl speaks it: ranges, what has not changed, uploads, connections used again.
-- @module spec.interop.curl_spec

local child = require "spec.support.child"
local client = require "spec.support.client"
local facts = require "websockets.http.facts"
local file = require "spec.support.file"
local needs = require "spec.support.needs"
local server = require "spec.support.server"
local socket = require "socket"
local websockets = require "websockets"

local GIB = 1024 * 1024 * 1024
local WINDOW = 200

describe("curl", function()
  local missing = needs.reason("curl")
  if missing then
    pending(missing)
    return
  end

  local folder

  lazy_setup(function() folder = child.make_folder() end)
  lazy_teardown(function() child.remove_folder(folder) end)
  after_each(server.stop_all)

  local function write(name, text)
    local handle = assert(io.open(folder .. "/" .. name, "wb"))
    handle:write(text)
    handle:close()
    return folder .. "/" .. name
  end

  -- Runs curl beside the server in this program, which is served until curl has ended; gives what curl wrote.
  local function curl(s, words, meanwhile)
    local out = folder .. "/out"
    os.remove(out .. ".done")
    local command = "curl -s -S --max-time 240 --noproxy '*' " .. words:gsub("URL", "http://127.0.0.1:" .. s.port)
    local line = ("{ cd %s && { %s >out 2>&1; echo $? >out.part; mv out.part out.done; }; } >/dev/null &"):format(
      child.quote(folder), command)
    assert(io.popen(line, "r")):close()
    local give_up, done = socket.gettime() + 250, nil
    while not done do
      s:turn(1)
      if meanwhile then meanwhile() end
      done = io.open(out .. ".done", "r")
      assert(done or socket.gettime() < give_up, "curl takes too long")
    end
    local code = done:read("*a"):match("%d+")
    done:close()
    local text = file.read(out)
    assert.equal("0", code, text)
    return text
  end

  it("gets a file, its head, a part of it, and that it has not changed", function()
    local path = write("data.txt", "0123456789")
    child.run("touch -t 200102030405 " .. child.quote(path))
    local s = server.start({ on_http = function(ws) ws:serve_http_file(path) end })
    assert.equal("0123456789", curl(s, "URL/"))
    local head = curl(s, "-I URL/")
    assert.matches("^HTTP/1.1 200 OK\r\n", head)
    for _, line in ipairs({ "Content-Length: 10", "Content-Type: text/plain; charset=utf-8", "Accept-Ranges: bytes",
      "Date: " }) do
      assert.matches(line, head, 1, true)
    end
    assert.equal("234", curl(s, "-r 2-4 URL/"))
    assert.equal("89", curl(s, "-r -2 URL/"))
    assert.equal("206 bytes 5-9/10", curl(s, "-o /dev/null -w '%{http_code} %header{content-range}' -r 5- URL/"))
    assert.equal("416", curl(s, "-o /dev/null -w '%{http_code}' -r 10- URL/"))
    assert.equal("200 10", curl(s, "-o /dev/null -w '%{http_code} %{size_download}' -r 0-1,3-4 URL/"))
    local etag = head:match("ETag: (%S+)")
    if not etag then return pending("needs lua-filesystem or the accelerator") end
    local date = head:match("Last%-Modified: ([^\r]+)")
    local status = "-o /dev/null -w '%{http_code} %{size_download}' "
    assert.equal("304 0", curl(s, status .. child.quote("-HIf-None-Match: " .. etag) .. " URL/"))
    assert.equal("304 0", curl(s, status .. child.quote("-HIf-Modified-Since: " .. date) .. " URL/"))
    assert.equal("200 10", curl(s, status .. "'-HIf-None-Match: \"x\"' URL/"))
    assert.equal("206 5", curl(s, status .. child.quote("-HIf-Range: " .. etag) .. " -r 5- URL/"))
    assert.equal("200 10", curl(s, status .. "'-HIf-Range: \"x\"' -r 5- URL/"))
  end)

  it("goes on with a download that broke off", function()
    local text = ("0123456789abcdef"):rep(10000)
    local path = write("whole", text)
    write("partly", text:sub(1, 70001))
    local s = server.start({ on_http = function(ws) ws:serve_http_file(path) end })
    curl(s, "-C - -o partly URL/")
    assert.is_true(file.read(folder .. "/partly") == text)
  end)

  it("uploads with a length and in chunks, and asks before sending much", function()
    write("upload", ("u"):rep(300000))
    local s = server.start({ on_http = function(ws, _, method, headers, body)
      local words = { method, #body, headers["transfer-encoding"] or "-", headers.expect or "-" }
      ws:respond(200, nil, table.concat(words, " "))
    end })
    assert.equal("POST 300000 - -", curl(s, "-H Expect: --data-binary @upload URL/"))
    assert.equal("PUT 300000 - -", curl(s, "-H Expect: -T upload URL/"))
    assert.equal("PUT 300000 chunked -", curl(s, "-H Expect: -H 'Transfer-Encoding: chunked' -T upload URL/"))
    assert.equal("PUT 300000 chunked -", curl(s, "-H Expect: -T - URL/ <upload"))
    local text = curl(s, "-v -H 'Expect: 100-continue' --expect100-timeout 50 -T upload URL/")
    assert.matches("< HTTP/1.1 100 Continue\r\n", text, 1, true)
    assert.matches("PUT 300000 - 100-continue", text, 1, true)
  end)

  it("hears 413 before it sends what is too long", function()
    write("upload", ("u"):rep(300000))
    local s = server.start({ max_body_bytes = 1000, on_http = function(ws) ws:respond(200) end })
    assert.equal("413 0", curl(s, "-o /dev/null -w '%{http_code} %{size_upload}' -H 'Expect: 100-continue'"
      .. " --expect100-timeout 50 -T upload URL/"))
  end)

  it("uses a connection again, also with HTTP/1.0", function()
    local seen = {}
    local s = server.start({ on_http = function(ws)
      seen[ws] = true
      ws:respond(200, nil, "x")
    end })
    local function count()
      local number = 0
      for _ in pairs(seen) do number = number + 1 end
      seen = {}
      return number
    end
    assert.equal("xxx", curl(s, "URL/1 URL/2 URL/3"))
    assert.equal(1, count())
    assert.equal("xx", curl(s, "-H 'Connection: close' URL/1 URL/2"))
    assert.equal(2, count())
    assert.equal("xx", curl(s, "--http1.0 -H 'Connection: keep-alive' URL/1 URL/2"))
    assert.equal(1, count())
    assert.equal("xx", curl(s, "--http1.0 URL/1 URL/2"))
    assert.equal(2, count())
  end)

  it("logs in with a name and a password", function()
    local s = server.start({ on_http = function(ws)
      local user, password = ws:request():basic_credentials()
      local is_good = user == "joe" and websockets.constant_time_equal(password, "a:b")
      ws:respond(is_good and 200 or 401, not is_good and { ["WWW-Authenticate"] = 'Basic realm="x"' } or nil, user)
    end })
    assert.equal("joe", curl(s, "-u joe:a:b URL/"))
    assert.equal("401", curl(s, "-o /dev/null -w '%{http_code}' -u joe:wrong URL/"))
    assert.equal("401", curl(s, "-o /dev/null -w '%{http_code}' URL/"))
  end)

  it("gets a compressed copy from a folder, and is sent on to folders", function()
    if not facts.are_known(require("websockets.engine.loader").choose()) then
      return pending("needs lua-filesystem or the accelerator")
    end
    child.run("cd " .. child.quote(folder) .. " && mkdir -p site/sub && echo hello >site/sub/index.html"
      .. " && gzip -k site/sub/index.html")
    local s = server.start({ on_http = websockets.files(folder .. "/site") })
    assert.equal("hello\n", curl(s, "--compressed -L URL/sub"))
    assert.equal("gzip", curl(s, "--compressed -o /dev/null -w '%header{content-encoding}' URL/sub/"))
    assert.equal("404", curl(s, "--path-as-is -o /dev/null -w '%{http_code}' URL/..%2f..%2fetc/passwd"))
    assert.equal("400", curl(s, "--path-as-is -o /dev/null -w '%{http_code}' URL/../../etc/passwd"))
  end)

  it("gets a file of 2 GiB: its head, and its last bytes", function()
    local path = folder .. "/huge"
    local _, code = child.run("truncate -s 2G " .. child.quote(path))
    if code ~= 0 then return pending("needs a file system with sparse files") end
    local s = server.start({ on_http = function(ws) ws:serve_http_file(path) end })
    assert.matches("Content%-Length: 2147483648\r\n", curl(s, "-I URL/"))
    assert.equal("206 5 bytes 2147483643-2147483647/2147483648",
      curl(s, "-o /dev/null -w '%{http_code} %{size_download} %header{content-range}' -r -5 URL/"))
    assert.equal("416", curl(s, "-o /dev/null -w '%{http_code}' -r 2147483648- URL/"))
  end)

  -- Round trips of an echo, counted in windows: the fastest window is what the machine can do when it is left alone.
  local function stopwatch(echo)
    local window, fastest, count, sent = {}, math.huge, 0, nil
    local function step()
      if sent and not echo:try_message() then return end
      if sent then
        window[#window + 1] = socket.gettime() - sent
        count = count + 1
        if #window == WINDOW then
          table.sort(window)
          fastest, window = math.min(fastest, window[WINDOW / 2]), {}
        end
      end
      sent = socket.gettime()
      echo:text("ping")
    end
    return step, function() return fastest, count end
  end

  it("gets 2 GiB in flat memory, while an echo goes on at no less than a fifth of its pace", function()
    local path = folder .. "/huge"
    local _, code = child.run("truncate -s 2G " .. child.quote(path))
    if code ~= 0 then return pending("needs a file system with sparse files") end
    local s = server.start({ default = server.echo, on_http = function(ws) ws:serve_http_file(path) end })
    local step, result = stopwatch(client.open(s))
    s:pump(function()
      step()
      return select(2, result()) >= 10 * WINDOW
    end)
    local alone = result()
    step, result = stopwatch(client.open(s))
    -- What is alive: how much garbage waits beside it depends on what ran before.
    local function alive_kib()
      collectgarbage()
      collectgarbage()
      return collectgarbage("count")
    end
    local before, most, turns = alive_kib(), 0, 0
    -- All of it under one Lua, the last part of it under the others: it is the same file, and the same code.
    local part = _VERSION == "Lua 5.4" and 2 * GIB or GIB / 4
    local beside, attempts = math.huge, 0
    -- What disturbs a machine may last as long as a transfer: then the next one tells.
    while beside > 5 * alone and attempts < 3 do
      attempts = attempts + 1
      local text = curl(s, ("-o /dev/null -w '%%{size_download}' -r -%.0f URL/"):format(part), function()
        step()
        turns = turns + 1
        if turns % 500 == 0 then most = math.max(most, alive_kib()) end
      end)
      assert.equal(("%.0f"):format(part), text)
      beside = result()
    end
    assert.is_true(turns > 500 and most - before < 8 * 1024, ("grew by %.0f KiB"):format(most - before))
    local _, count = result()
    assert.is_true(count >= WINDOW, "only " .. count .. " round trips")
    assert.is_true(beside <= 5 * alone, ("%.1f times slower"):format(beside / alone))
  end)
end)
