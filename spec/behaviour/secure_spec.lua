--- Clients of wss:// servers: a TLS handshake that fails, stalls or is disturbed at any byte, and TLS on an open
-- connection. Which certificates are accepted is in spec/interop/certificates_spec.lua.
-- @module spec.behaviour.secure_spec

local certificates = require "spec.support.certificates"
local child = require "spec.support.child"
local fd_flags = require "spec.support.fd_flags"
local interrupts = require "spec.support.interrupts"
local peer = require "spec.support.peer"
local disturbance = require "spec.support.disturbance"
local secure_step = require "websockets.client.secure"
local server = require "spec.support.server"
local socket = require "socket"
local tls = require "spec.support.tls"
local verification = require "websockets.client.verification"

local TEXT, BINARY = 1, 2
-- Every so many bytes of the handshake something happens.
local STEP_BYTES = 23

local check = tls.test(it, pending)

describe("a client of a wss server", function()
  local one

  before_each(function() one = server.start({}) end)
  after_each(server.stop_all)

  local function trusting(also)
    local options = { tls = { cafile = certificates.path("ca.pem") } }
    for name, value in pairs(also or {}) do options[name] = value end
    return options
  end

  -- A server behind a relay, and a client of it. `fault` are the arguments of `disturbance:fault`.
  local function connect(fault, options, tls_options)
    local other = peer.listen(one, nil, certificates.pair("good", tls_options))
    local between = disturbance.listen(one, other.port)
    if fault then between:fault(fault[1], fault[2], fault[3], fault[4]) end
    local ws, heard = peer.watch(one.context:connect(("wss://localhost:%d/"):format(between.port), trusting(options)))
    return { other = other, between = between, ws = ws, heard = heard, port = between.port }
  end

  -- What the server and the relay do in a turn.
  local function poll(link)
    link.between:poll()
    link.other:poll()
    if not link.is_answered and link.other.buffer:find("\r\n\r\n", 1, true) then
      link.is_answered, link.before_answer = true, link.between:count()
      link.other:accept()
    end
  end

  local function pump(link, condition, what)
    return one:pump(function()
      poll(link)
      return condition()
    end, what)
  end

  local function open(fault, options, tls_options)
    local link = connect(fault, options, tls_options)
    pump(link, function() return link.heard.open == 1 or link.heard.closed[1] end, "the connection")
    assert.same({}, link.heard.closed)
    return link
  end

  local function await_closed(link)
    pump(link, function() return link.heard.closed[1] end, "the end")
    one:turns(2)
    assert.equal(1, #link.heard.closed)
    return (table.unpack or unpack)(link.heard.closed[1])
  end

  local function end_link(link)
    link.other:close()
    link.between:close()
    one.clients = {}
  end

  -- Bytes that a server sends until it has the request.
  local function handshake_bytes()
    local link = open()
    local count = link.before_answer
    end_link(link)
    return count
  end

  -- A connection that is reset before it was noticed has been refused.
  local ENDS = { closed = true, tls = true, reset = true, certificate = true, refused = true }

  for _, how in ipairs({ "end", "reset", "change" }) do
    check(("ends where the handshake is disturbed at any byte: %s"):format(how), function()
      local count, seen = handshake_bytes(), {}
      assert.is_true(count > 500)
      for at = 0, count - 1, STEP_BYTES do
        local link = connect({ "down", at, how })
        local code, message, clean, why = await_closed(link)
        assert.equal(0, link.heard.open)
        assert.same({ 1006, false }, { code, clean })
        assert.is_true(ENDS[why], why)
        assert.is_true(why == "reset" or why == "refused" or message:find("localhost", 1, true) ~= nil, message)
        seen[why] = true
        end_link(link)
      end
      assert.is_true(how == "change" and seen.tls or seen.closed)
    end)
  end

  check("is given up after timeout where the server stalls at any byte, and disturbs nobody", function()
    local count, links = handshake_bytes(), {}
    one:fake_time()
    local echo, log = server.recorder(server.echo)
    local busy = server.start({ default = echo })
    local ws, heard = peer.watch(one.context:connect(("ws://127.0.0.1:%d/"):format(busy.port)))
    for at = 0, count - 1, math.floor(count / 20) do
      links[#links + 1] = connect({ "down", at, "stall" }, { timeout = 2 })
    end
    local sent = 0
    ws:on_receive(function(_, data)
      sent = sent + 1
      assert.equal("hello", data)
      ws:write("hello")
    end)
    ws:on_open(function() ws:write("hello") end)
    -- Serves until all links are as they should be, and others have been served meanwhile.
    local function await(is_so, what)
      local before = sent
      one:pump(function()
        busy:turn(0)
        local are_all = sent > before + 20
        for _, link in ipairs(links) do
          poll(link)
          are_all = is_so(link) and are_all
        end
        return are_all
      end, what)
    end
    await(function(link)
      local first = link.between.links[1]
      return first and first.down.is_stalled
    end, "the stalls")
    one:advance(1.9)
    await(function(link) return not link.heard.closed[1] end, "others, before the ends")
    one:advance(0.2)
    await(function(link) return link.heard.closed[1] end, "the ends")
    for _, link in ipairs(links) do
      assert.same({ 1006, ("no connection to localhost:%d in time"):format(link.port), false, "timeout" },
        link.heard.closed[1])
    end
    assert.same({}, heard.closed)
    assert.equal(1, #log.ws)
  end)

  check("does a few handshakes in a turn where many connect at once", function()
    local judge, turns, count = verification.judge, {}, 40
    finally(function() verification.judge = judge end)
    function verification.judge(...)
      local turn = one.context.turn
      turns[turn] = (turns[turn] or 0) + 1
      return judge(...)
    end
    local other = server.start({ tls = certificates.pair("good"), default = server.echo })
    local opened = 0
    for _ = 1, count do
      local ws = one.context:connect(("wss://localhost:%d/"):format(other.port), trusting())
      ws:on_open(function() opened = opened + 1 end)
    end
    -- The server is ahead, so that the answers to all of them wait.
    one:turns(3)
    for _ = 1, 3 * count do other:turn(1) end
    one:pump(function()
      other:turn(0)
      return opened == count
    end, "the connections")
    local most, sum = 0, 0
    for _, judged in pairs(turns) do most, sum = math.max(most, judged), sum + judged end
    assert.same({ 4, count }, { most, sum })
  end)

  check("is told that the server does not speak TLS", function()
    local other = peer.listen(one)
    local _, heard = peer.watch(one.context:connect(("wss://localhost:%d/"):format(other.port), trusting()))
    one:pump(function()
      other:poll()
      return other.buffer ~= ""
    end, "a ClientHello")
    other:send("HTTP/1.1 400 Bad Request\r\n\r\n")
    one:pump(function() return heard.closed[1] end, "the end")
    assert.same({ 1006, ("localhost:%d does not speak TLS (wrong version number)"):format(other.port), false, "tls" },
      heard.closed[1])
  end)

  check("is told that there is no TLS version in common", function()
    local link = connect(nil, { tls = { cafile = certificates.path("ca.pem"), protocol = "tlsv1_3" } },
      { protocol = "tlsv1_2", options = {} })
    local _, message, _, why = await_closed(link)
    assert.equal("tls", why)
    assert.matches("^localhost:%d+ has no TLS version in common with us %(.*protocol version%)$", message)
  end)

  check("exchanges messages of any length, also around that of a record", function()
    local link = open()
    local lengths = { 0, 1, 8186, 8192, 16373, 16374, 16384, 16385, 16400, 65536, 1048576 }
    for _, length in ipairs(lengths) do
      local data = ("x"):rep(length)
      link.other:write(BINARY, data)
      link.ws:write(data, 1)
      local opcode, payload
      pump(link, function()
        local batch = {}
        if link.other.reader:feed(link.other.buffer, batch) > 0 then opcode, payload = batch[1], batch[2] end
        link.other.buffer = ""
        return opcode and link.heard.messages[1]
      end, "a message of " .. length)
      assert.same({ BINARY, length }, { opcode, #payload })
      assert.equal(length, #table.remove(link.heard.messages, 1)[1])
    end
  end)

  for _, case in ipairs({
    { "that ends without close_notify", "end", nil, "closed" },
    { "that is reset", "reset", nil, "closed" },
    { "whose next record is changed", "change", nil, "tls" },
    { "with a record that is too long", "insert", "\23\3\3\255\255", "tls" },
    { "with a record of no kind", "insert", "\99\3\3\0\1x", "tls" },
  }) do
    check("has an end of an open connection " .. case[1], function()
      local link = open()
      local way = link.between.links[1].down
      way.fault = { after = way.count, how = case[2], bytes = case[3] }
      if case[2] == "change" or case[2] == "insert" then link.other:write(TEXT, "hello") end
      local code, _, clean, why = await_closed(link)
      assert.same({ 1006, false, case[4] }, { code, clean, why })
      assert.same({}, link.heard.messages)
    end)
  end

  check("does not wait in close or destroy for a server that takes nothing", function()
    for _, act in ipairs({ "close", "abort", "destroy" }) do
      local link = open({ "up", 100000, "stall" }, { close_timeout = 60 })
      local started = socket.gettime()
      for _ = 1, 100 do link.ws:write(("x"):rep(100000), 1) end
      one:turns(3)
      assert.is_true(link.ws:buffered() > 1000000)
      if act == "close" then link.ws:close(1000) elseif act == "abort" then link.ws:close(0) end
      if act == "destroy" then one.context:destroy() end
      if act == "close" then one:turns(2) elseif act == "abort" then await_closed(link) end
      assert.is_true(socket.gettime() - started < 20)
      if act == "destroy" then assert.equal(1, #link.heard.closed) end
    end
  end)

  -- Interrupts the TLS handshake after so many steps of Lua; tells what became of the connection. LuaSec's own steps
  -- before it, in which an object is made for a descriptor, are no place for an interrupt.
  local function interrupt(steps)
    local original = secure_step.advance
    secure_step.advance = function(...)
      secure_step.advance = original
      -- Not before it has begun.
      interrupts.arm(steps + 9, original)
      return original(...)
    end
    local link = connect()
    local is_over = function() return link.heard.open == 1 or link.ws:get_socket_fd() == -1 end
    local deadline = socket.gettime() + 20
    repeat
      local is_good, err = pcall(pump, link, is_over, "an end")
      if not is_good and err ~= "interrupted" then error(err, 0) end
    until is_over() or socket.gettime() > deadline
    secure_step.advance = original
    return link
  end

  check("goes on where a TLS handshake is interrupted at any step", function()
    local count, descriptors = 0, nil
    interrupts.sweep(1, function(number)
      count = count + 1
      -- Close to each other at first: where no bits can be added up fast, a handshake ends after many thousand steps.
      local link = interrupt(number < 40 and 3 * number or math.floor(120 * 1.1 ^ (number - 40)))
      -- Told, or interrupted where it was being told; and the descriptor is closed.
      assert.is_true(#link.heard.closed <= 1)
      link.ws:close(0)
      one:turns(2)
      assert.equal(-1, link.ws:get_socket_fd())
      end_link(link)
      collectgarbage()
      collectgarbage()
      descriptors = descriptors or fd_flags.count()
      assert.equal(descriptors, fd_flags.count())
    end)
    assert.is_true(count > 5, count)
    end_link(open())
  end)

  -- What a proxy hears and says, for one.test:443.
  local PROXIES = {
    http = { { "CONNECT one.test:443 HTTP/1.1\r\nHost: one.test:443\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n" } },
    socks5 = { { "\5\1\0", "\5\0" }, { "\5\1\0\3\8one.test\1\187", "\5\0\0\1\0\0\0\0\0\0" } },
  }

  local function through_proxy(scheme, name)
    local other = peer.listen(one)
    local options = trusting({ proxy = ("%s://127.0.0.1:%d"):format(scheme, other.port) })
    local _, heard = peer.watch(one.context:connect("wss://one.test/", options))
    for _, step in ipairs(PROXIES[scheme]) do
      one:pump(function()
        other:poll()
        return #other.buffer >= #step[1]
      end, "what a proxy hears")
      assert.equal(step[1], other.buffer)
      other.buffer = ""
      other:send(step[2])
    end
    other:begin_tls(certificates.pair(name))
    return other, heard
  end

  for _, scheme in ipairs({ "http", "socks5" }) do
    check("speaks TLS with the server and not with its proxy: " .. scheme, function()
      local other, heard = through_proxy(scheme, "good")
      assert.equal("one.test", other:accept().host)
      one:pump(function() return heard.open == 1 end, "the connection")
    end)

    check("verifies the host of the URL through a proxy: " .. scheme, function()
      local other, heard = through_proxy(scheme, "wrong_host")
      one:pump(function()
        other:poll()
        return heard.closed[1]
      end, "the end")
      assert.same({ 1006, "the certificate of one.test was refused: wrong host: it is for DNS:elsewhere.test, "
        .. "IP:192.0.2.1", false, "certificate" }, heard.closed[1])
    end)
  end

  -- A program of its own, for it needs an environment of its own. Prints what becomes of a connection.
  local PROGRAM = [[
package.path = %q
%s
local context = require("websockets").context{}
local ws, message, code = context:connect(%q)
if not ws then print(message, code) os.exit() end
ws:on_open(function() print("open") ws:close(1000) end)
ws:on_closed(function(_, _, reason, _, why) print(reason, why) context:stop() end)
context:run()
]]

  local function run_program(environment, before, url)
    local program = PROGRAM:format(package.path, before, url)
    return child.start(("%s -e %s"):format(child.quote(child.this_lua()), child.quote(program)),
      "-u SSL_CERT_FILE -u SSL_CERT_DIR " .. environment)
  end

  local function trusts(environment)
    local other = peer.listen(one, nil, certificates.pair("good"))
    local program = run_program(environment, "", ("wss://localhost:%d/"):format(other.port))
    other:accept()
    assert.equal(8, (other:message()))
    other:close()
    assert.matches("^open\n", program:rest())
  end

  check("trusts the authorities that SSL_CERT_FILE names", function()
    trusts("SSL_CERT_FILE=" .. certificates.path("ca.pem"))
  end)

  check("trusts the authorities in the folders that SSL_CERT_DIR names", function()
    local folder = child.make_folder()
    finally(function() child.remove_folder(folder) end)
    local text, code = child.run(("cp %s %s && openssl rehash %s"):format(certificates.path("ca.pem"), folder, folder))
    assert.equal(0, code, text)
    trusts("SSL_CERT_DIR=/nonexistent:" .. folder)
  end)

  check("does not trust others", function()
    local other = peer.listen(one, nil, certificates.pair("good"))
    local program = run_program("SSL_CERT_FILE=" .. certificates.path("other_ca.pem"), "",
      ("wss://localhost:%d/"):format(other.port))
    one:pump(function()
      other:poll()
      return other.ended
    end, "the end")
    assert.matches("unknown authority.*\tcertificate\n$", program:rest())
  end)

  check("says what is missing, before it connects", function()
    assert.equal("no certificate authorities: SSL_CERT_FILE cannot be read: /nonexistent: No such file or directory\t"
      .. "tls\n", run_program("SSL_CERT_FILE=/nonexistent", "", "wss://localhost:1/"):rest())
    assert.equal("TLS needs LuaSec, which is not installed (luarocks install luasec)\ttls\n",
      run_program("", "package.preload.ssl = function() error(\"module 'ssl' not found\") end",
        "wss://localhost:1/"):rest())
  end)

  it("loads LuaSec for wss alone", function()
    local program = run_program("", "package.preload.ssl = function() error('loaded') end", "ws://127.0.0.1:1/")
    assert.matches("connection refused\trefused\n$", program:rest())
  end)
end)
