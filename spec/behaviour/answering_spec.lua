--- What the application says to an HTTP request is checked before anything of it is sent.
-- @module spec.behaviour.answering_spec
local client = require("spec.support.client")
local server = require("spec.support.server")

local FIXTURE = "spec/fixtures"

describe("answering", function()
  after_each(server.stop_all)

  -- What a handler of one request raises, and what the peer sees.
  local function refused(answer)
    local raised
    local s = server.start({ on_http = function(ws)
      local is_good, err = pcall(answer, ws)
      raised = not is_good and err
      ws:respond(204)
    end })
    local c = client.connect(s)
    c:send(client.request("/"))
    assert.equal(204, (c:response()))
    return raised
  end

  it("names the caller's line and what was expected", function()
    for _, case in ipairs({
      { "respond", 1, "status 200 to 599", function(ws) ws:respond(199) end },
      { "respond", 1, "status 200 to 599", function(ws) ws:respond(600) end },
      { "respond", 1, "status 200 to 599", function(ws) ws:respond(200.5) end },
      { "respond", 1, "status 200 to 599", function(ws) ws:respond("200") end },
      { "respond", 3, "string or number", function(ws) ws:respond(200, {}, {}) end },
      { "serve_http_file", 1, "path", function(ws) ws:serve_http_file(FIXTURE == nil) end },
      { "serve_http_file", 2, "content type without control characters", function(ws)
        ws:serve_http_file(FIXTURE, "text/plain\r\nX: y")
      end },
    }) do
      local raised = refused(case[4])
      assert.is_string(raised)
      local told = ("answering_spec.lua:%%d+: bad argument #%d to '%s'"):format(case[2], case[1])
      assert.is_truthy(raised:find(told), raised)
      assert.is_truthy(raised:find(case[3] .. " expected", 1, true), raised)
    end
  end)

  it("takes a number for a body", function()
    local s = server.start({ on_http = function(ws) ws:respond(200, nil, 42) end })
    local c = client.connect(s)
    c:send(client.request("/"))
    assert.equal("42", (select(3, c:response())))
  end)

  it("says type where no request waits", function()
    local before
    local s = server.start({ on_http = function(ws)
      ws:respond(200, nil, "once")
      before = { ws:respond(200, nil, "twice") }
    end })
    local c = client.connect(s)
    c:send(client.request("/"))
    assert.equal("once", (select(3, c:response())))
    assert.same({ -1, "type" }, before)
  end)
end)
