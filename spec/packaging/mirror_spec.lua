--- Every module of the library has its spec at the same place below spec/unit, or is in the list below.
-- @module spec.packaging.mirror_spec

local BOTH = "both engines share one spec"
local LOOPS = "one scenario runs under every loop"
local TESTS = "it does nothing without a context of a test"
local SOCKETS = "it does nothing without sockets and a context"

-- The spec that tests a module instead, and why.
local ELSEWHERE = {
  ["attachment"] = { "behaviour/attach", SOCKETS },
  ["blocking"] = { "behaviour/blocking", SOCKETS },
  ["client/attempts"] = { "behaviour/reach", SOCKETS },
  ["client/comeback"] = { "behaviour/reconnect", SOCKETS },
  ["client/dial"] = { "behaviour/dial", SOCKETS },
  ["client/greet"] = { "behaviour/client_session", SOCKETS },
  ["client/reach"] = { "behaviour/reach", SOCKETS },
  ["client/refusal"] = { "behaviour/refusal", SOCKETS },
  ["client/response"] = { "behaviour/refusal", SOCKETS },
  ["client/secure"] = { "behaviour/secure", SOCKETS },
  ["client/tunnel"] = { "behaviour/tunnel", SOCKETS },
  ["client/verification"] = { "interop/certificates", "it judges certificates in a TLS handshake" },
  ["connection/connection"] = { "behaviour/connection", SOCKETS },
  ["connection/descriptor"] = { "behaviour/descriptor", SOCKETS },
  ["connection/fanout"] = { "behaviour/topics", SOCKETS },
  ["connection/group"] = { "behaviour/group", SOCKETS },
  ["connection/keepalive"] = { "behaviour/keepalive", SOCKETS },
  ["connection/membership"] = { "unit/connection/fast_path", "the lifecycle alone calls it" },
  ["connection/transitions"] = { "unit/connection/lifecycle", "the lifecycle follows it" },
  ["connection/walk"] = { "behaviour/operations", SOCKETS },
  ["context"] = { "behaviour/context", SOCKETS },
  ["creation"] = { "behaviour/context", SOCKETS },
  ["engine/native"] = { "unit/engine/engine", BOTH },
  ["engine/pure"] = { "unit/engine/engine", BOTH },
  ["engine/pure/base64"] = { "unit/engine/engine", BOTH },
  ["engine/pure/deflate"] = { "unit/engine/deflate", BOTH },
  ["engine/pure/message"] = { "unit/engine/budget", BOTH },
  ["engine/pure/reader"] = { "unit/engine/reader", BOTH },
  ["engine/pure/writer"] = { "unit/engine/engine", BOTH },
  ["loop/copas"] = { "interop/loops", LOOPS },
  ["loop/cqueues"] = { "interop/loops", LOOPS },
  ["loop/ev"] = { "interop/loops", LOOPS },
  ["loop/host"] = { "interop/loops", LOOPS },
  ["loop/luv"] = { "interop/loops", LOOPS },
  ["metrics"] = { "behaviour/metrics", SOCKETS },
  ["operations"] = { "behaviour/operations", SOCKETS },
  ["prometheus"] = { "behaviour/metrics", SOCKETS },
  ["pubsub/in_process"] = { "behaviour/topics", SOCKETS },
  ["pubsub/incoming"] = { "behaviour/backplane", SOCKETS },
  ["pubsub/nested"] = { "behaviour/topics", "it does nothing without functions of an application" },
  ["pubsub/own_carrier"] = { "behaviour/backplane", SOCKETS },
  ["pubsub/pubsub"] = { "behaviour/topics", SOCKETS },
  ["pubsub/redis/carrier"] = { "behaviour/redis_link", SOCKETS },
  ["pubsub/redis/cluster"] = { "behaviour/redis_cluster", SOCKETS },
  ["pubsub/redis/dialects"] = { "behaviour/redis_link", SOCKETS },
  ["pubsub/redis/excepts"] = { "behaviour/history_answers", "it does nothing without answers of a server" },
  ["pubsub/recount"] = { "behaviour/backplane_repair", SOCKETS },
  ["pubsub/redis/jobs"] = { "interop/history", "it does nothing without a server" },
  ["pubsub/redis/joins"] = { "interop/history", "it does nothing without a server" },
  ["pubsub/redis/link"] = { "behaviour/redis_link", SOCKETS },
  ["pubsub/redis/member"] = { "behaviour/redis_cluster", SOCKETS },
  ["pubsub/redis/mending"] = { "behaviour/backplane_repair", SOCKETS },
  ["pubsub/redis/pages"] = { "behaviour/history_answers", "it does nothing without answers of a server" },
  ["pubsub/redis/scripts"] = { "interop/history", "they run in a server" },
  ["pubsub/redis/settlement"] = { "behaviour/cluster_repair", SOCKETS },
  ["pubsub/shared"] = { "behaviour/backplane", SOCKETS },
  ["request"] = { "behaviour/request", SOCKETS },
  ["server/control"] = { "behaviour/workers", SOCKETS },
  ["server/endpoint"] = { "behaviour/listener", SOCKETS },
  ["server/exchange"] = { "behaviour/exchange", SOCKETS },
  ["server/inherited"] = { "interop/systemd", "it does nothing without sockets of another process" },
  ["server/intake"] = { "behaviour/adopt", SOCKETS },
  ["server/listener"] = { "behaviour/listener", SOCKETS },
  ["server/proxied"] = { "behaviour/forwarding", SOCKETS },
  ["server/readiness"] = { "interop/systemd", "it does nothing without a socket of systemd" },
  ["server/response"] = { "behaviour/response", SOCKETS },
  ["server/secure"] = { "behaviour/tls", SOCKETS },
  ["server/unix"] = { "behaviour/unix", SOCKETS },
  ["server/upgrade"] = { "behaviour/upgrade", SOCKETS },
  ["testing/entry_point"] = { "unit/testing", TESTS },
  ["testing/far_end"] = { "unit/testing/peer", TESTS },
  ["testing/frame"] = { "unit/testing/peer", TESTS },
  ["testing/greeting"] = { "unit/testing/peer", TESTS },
  ["testing/network"] = { "unit/testing", TESTS },
  ["timer"] = { "behaviour/timers", SOCKETS },
  ["topics"] = { "behaviour/topics", SOCKETS },
  ["transport/exact"] = { "behaviour/forwarding", "it stands before TLS alone" },
  ["transport/libuv"] = { "behaviour/uv", "it does nothing without the loop of libuv" },
  ["transport/uv"] = { "behaviour/uv", SOCKETS },
  ["transport/uv_errors"] = { "unit/transport/uv_stream", "streams tell their errors by it" },
  ["transport/uv_listener"] = { "behaviour/uv", SOCKETS },
  ["transport/unwrapped"] = { "unit/transport/luasec", "it stands for what a LuaSec connection was" },
  ["transport/watched"] = { "behaviour/tls_flood", "it does nothing without a peer that floods" },
  ["turn/bytes"] = { "unit/turn/reading", "delivery reads by it" },
  ["turn/drain"] = { "behaviour/drain", SOCKETS },
  ["turn/driver"] = { "behaviour/attach", SOCKETS },
  ["turn/hosted"] = { "behaviour/uv", SOCKETS },
  ["turn/ends"] = { "behaviour/ending", SOCKETS },
  ["turn/recovery"] = { "unit/turn/delivery", "delivery goes on by it" },
  ["turn/relief"] = { "behaviour/relief", SOCKETS },
  ["turn/turn"] = { "behaviour/turn", SOCKETS },
  ["waiting/handler"] = { "behaviour/coroutine_ends", SOCKETS },
  ["waiting/methods"] = { "behaviour/coroutine", SOCKETS },
  ["waiting/receiver"] = { "behaviour/coroutine", SOCKETS },
  ["waiting/threads"] = { "interop/coroutine_loops", LOOPS },
  ["waiting/tasks"] = { "behaviour/coroutine_ends", SOCKETS },
  ["websocket"] = { "behaviour/websocket", SOCKETS },
  ["wire/native"] = { "unit/wire/differential", BOTH },
  ["workers"] = { "behaviour/workers", SOCKETS },
  ["workers/launcher"] = { "behaviour/workers", SOCKETS },
  ["workers/process"] = { "behaviour/workers", SOCKETS },
  ["writing"] = { "behaviour/writing", SOCKETS },
}

local function set(list)
  local made = {}
  for _, value in ipairs(list) do made[value] = true end
  return made
end

-- What is missing or too much: `modules` by their path below lua/websockets, `specs` by theirs below spec, both
-- without ending.
local function problems(modules, specs, elsewhere)
  local is_module, is_spec, found = set(modules), set(specs), {}
  local function tell(...) found[#found + 1] = string.format(...) end
  for _, module in ipairs(modules) do
    local other, has_own = elsewhere[module], is_spec["unit/" .. module]
    if not has_own and not other then tell("%s has no spec spec/unit/%s_spec.lua", module, module) end
    if has_own and other then tell("%s has a spec of its own and is in the list", module) end
  end
  for module, other in pairs(elsewhere) do
    if not is_module[module] then tell("%s is in the list and is no module", module) end
    if not is_spec[other[1]] then tell("%s is tested by spec/%s_spec.lua, which is not there", module, other[1]) end
  end
  local folders = {}
  for _, module in ipairs(modules) do folders[module:match("^(.*/)") or ""] = true end
  for _, spec in ipairs(specs) do
    local folder = spec:match("^unit/(.*/)") or spec:match("^unit/") and ""
    if folder and not folders[folder] then tell("spec/unit/%s mirrors no folder of modules", folder) end
  end
  table.sort(found)
  return table.concat(found, "\n")
end

local function paths(folder, ending)
  local list, pipe = {}, assert(io.popen(("find %s -name '*%s'"):format(folder, ending)))
  for path in pipe:lines() do list[#list + 1] = path:sub(#folder + 2, -#ending - 1) end
  pipe:close()
  return list
end

describe("the specs of modules", function()
  it("stand where the modules do", function()
    local modules = paths("lua/websockets", ".lua")
    assert.is_true(#modules > 50)
    assert.equal("", problems(modules, paths("spec", "_spec.lua"), ELSEWHERE))
  end)

  it("are missed where there are none, and where the list names what is not there", function()
    local listed = { ["b/c"] = { "behaviour/c", SOCKETS } }
    local specs = { "unit/a", "behaviour/c" }
    assert.equal("", problems({ "a", "b/c" }, specs, listed))
    assert.equal("d has no spec spec/unit/d_spec.lua", problems({ "a", "b/c", "d" }, specs, listed))
    assert.equal("b/c is in the list and is no module", problems({ "a" }, specs, listed))
    assert.equal("b/c is tested by spec/behaviour/c_spec.lua, which is not there",
      problems({ "a", "b/c" }, { "unit/a" }, listed))
    assert.equal("b/c has a spec of its own and is in the list",
      problems({ "a", "b/c" }, { "unit/a", "unit/b/c", "behaviour/c" }, listed))
    assert.equal("spec/unit/x/ mirrors no folder of modules",
      problems({ "a", "b/c" }, { "unit/a", "behaviour/c", "unit/x/a" }, listed))
  end)
end)
