--- What both test servers must do, spoken to over plain sockets.
-- @module spec.support.test_server_checks

local plain_client = require "spec.support.plain_client"
local read = require("spec.support.file").read

local function next_number(client)
  return assert(tonumber((client:read_message())))
end

local checks = {
  { "serves the page and the icon, and nothing else", function(connect)
    local page, icon = read("test-server/test.html"), read("test-server/favicon.ico")
    for target, expected in pairs({
      ["/"] = page, ["/test.html"] = page, ["/?a=b"] = page, ["/favicon.ico"] = icon,
    }) do
      local status, head, body = connect():get(target)
      assert(status == 200 and body == expected, target .. ": " .. head)
      local content_type = body == icon and "image/x%-icon" or "text/html; charset=utf%-8"
      assert(head:find("\r\ncontent%-type: " .. content_type .. "\r\n"), head)
    end
    for _, target in ipairs({ "/test.htm", "/test-server.lua", "/../test.html", "//", "/test.html/" }) do
      assert(connect():get(target) == 404, target)
    end
  end },

  { "counts from 0 for each connection and starts again on reset", function(connect)
    local first, second = connect(), connect()
    first:upgrade("dumb-increment-protocol")
    for expected = 0, 3 do
      assert(next_number(first) == expected)
    end
    second:upgrade("dumb-increment-protocol")
    assert(next_number(second) == 0)
    first:write("reset\n")
    local before, after = 3, next_number(first)
    while after > before do
      before, after = after, next_number(first)
    end
    assert(after == 0)
    assert(next_number(first) == 1)
    assert(next_number(second) == 1)
  end },

  { "mirrors to everyone who draws, the sender too", function(connect)
    local first, second = connect(), connect()
    assert(first:upgrade("lws-mirror-protocol"):find("\r\nsec-websocket-protocol: lws-mirror-protocol\r\n", 1, true))
    second:upgrade("lws-mirror-protocol")
    first:write("d #d62839 0 0 10 10;")
    second:write("c #1565c0 5 5 2;")
    local seen = {}
    for _, client in ipairs({ first, second }) do
      for _ = 1, 2 do
        local text, opcode = client:read_message()
        assert(opcode == 1)
        seen[#seen + 1] = text
      end
    end
    table.sort(seen)
    assert(seen[1] == "c #1565c0 5 5 2;" and seen[2] == seen[1])
    assert(seen[3] == "d #d62839 0 0 10 10;" and seen[4] == seen[3])
  end },

  { "counts on while someone else sends all the time", function(connect)
    local busy, counter = connect(), connect()
    busy:upgrade("lws-mirror-protocol")
    counter:upgrade("dumb-increment-protocol")
    for expected = 0, 2 do
      -- One message is always under way until the next number has come.
      counter.pause = function()
        busy:write("p")
        assert(busy:read_message() == "p")
      end
      assert(next_number(counter) == expected)
    end
  end },
}

--- Define the checks as tests.
-- @tparam function it busted's
-- @tparam function port tells the port of the server when a test runs
return function(it, port)
  for _, entry in ipairs(checks) do
    local name, check = entry[1], entry[2]
    it(name, function()
      local clients = {}
      local passed, why = pcall(check, function()
        clients[#clients + 1] = plain_client.connect(port())
        return clients[#clients]
      end)
      for _, client in ipairs(clients) do
        client:close()
      end
      assert(passed, why)
    end)
  end
end
