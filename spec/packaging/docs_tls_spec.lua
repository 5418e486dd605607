--- docs/tls.md: the certificate that its command makes is served, and a client trusts it as the page says.
-- @module spec.packaging.docs_tls_spec

local child = require "spec.support.child"
local markdown = require "spec.support.markdown"
local tls = require "spec.support.tls"
local websockets = require "websockets"

local PAGE = "docs/tls.md"
local LIMIT_SECONDS = 20

local function command()
  for _, block in ipairs(markdown.blocks(markdown.read(PAGE))) do
    if block.name == "certificate" then return block.code end
  end
end

describe(PAGE, function()
  local folder, context

  before_each(function() folder = child.make_folder() end)
  after_each(function()
    if context then context:destroy() end
    child.remove_folder(folder)
  end)

  -- What a client hears that connects to the server under this name: a message, or why there is no connection.
  local function hear(host, settings)
    local heard
    local ws = context:connect(("wss://%s:%d/"):format(host, context:get_port()), {
      tls = settings, timeout = LIMIT_SECONDS, proxy = false,
    })
    ws:on_receive(function(_, data) heard = data end)
    ws:on_closed(function(_, _, _, _, why) heard = heard or why end)
    local deadline = context.clock() + LIMIT_SECONDS
    while not heard and context.clock() < deadline do context:service(100) end
    return heard
  end

  tls.test(it, pending)("makes a certificate to try with", function()
    local said, code = child.run(("cd %s && {\n%s\n} 2>&1"):format(child.quote(folder), command()))
    assert.equal(0, code, said)
    local file = folder .. "/server.pem"
    context = websockets.context{
      port = "any", interf = "127.0.0.1", tls = { certificate = file, key = folder .. "/server.key" },
      default = function(ws) ws:write("hello") end,
    }
    for _, host in ipairs({ "localhost", "127.0.0.1" }) do
      assert.equal("hello", hear(host, { cafile = file }))
      assert.equal("certificate", hear(host))
    end
  end)
end)
