--- Which spec files run under which Lua and engine, and in which portions: all of them fill one queue.
-- @module spec.support.plan
--
-- A pair is `{ lua = "lua5.4", is_native = true, ... }`; further fields are the caller's.

local plan = {}

-- What these test hardly depends on the Lua: pages, programs of others, our own tools. A whole run has them under the
-- pairs that stand here ("lua5.4", "lua5.4 native"; `*` is each Lua) as far as those are there, and under the first
-- pair where none is. A run of named specs has them wherever it is asked to. Some specs choose by themselves: those
-- that need the modules of one Lua.
local SELECTED = {
  -- Chromium: one engine each. Both have the browser with compression and with TLS.
  ["spec/interop/browser_spec.lua"] = { "lua5.4" },
  ["spec/interop/chat_spec.lua"] = { "lua5.4 native" },
  ["spec/interop/pages_spec.lua"] = { "lua5.4 native" },
  -- nginx, haproxy, tinyproxy, microsocks.
  ["spec/interop/front_spec.lua"] = { "lua5.1", "lua5.4 native", "luajit" },
  ["spec/interop/proxies_spec.lua"] = { "lua5.1", "lua5.4 native", "luajit" },
  -- Redis and Valkey; the engine takes no part.
  ["spec/interop/backplane_spec.lua"] = { "*", "lua5.4 native", "luajit native" },
  ["spec/interop/history_spec.lua"] = { "*", "lua5.4 native", "luajit native" },
  ["spec/interop/history_faults_spec.lua"] = { "*", "lua5.4 native", "luajit native" },
  ["spec/interop/redis_cluster_spec.lua"] = { "*", "lua5.4 native", "luajit native" },
  -- Other specs once more; uv_spec runs under all.
  ["spec/behaviour/uv_suite_spec.lua"] = { "lua5.1", "lua5.4 native", "luajit", "luajit native" },
  ["spec/interop/soak_spec.lua"] = { "lua5.1", "lua5.4 native", "luajit native" },
  ["spec/packaging/bench_spec.lua"] = { "lua5.4", "luajit native" },
  -- `make native` has built the accelerator for each Lua; here it is compiled once more, for a minute.
  ["spec/packaging/rock_spec.lua"] = { "*", "lua5.4 native", "luajit native" },
}

-- Seconds of the files that take long, on a machine with two cores: they start first, each in a portion of its own.
-- A wrong number costs time at the end of a run, nothing else.
local SECONDS = {
  ["spec/packaging/rock_spec.lua"] = 60,
  ["spec/behaviour/allocation_spec.lua"] = 30,
  ["spec/interop/chat_spec.lua"] = 24,
  ["spec/interop/soak_spec.lua"] = 22,
  ["spec/behaviour/faults_table_spec.lua"] = 20,
  ["spec/behaviour/tls_loops_spec.lua"] = 17,
  ["spec/behaviour/little_memory_spec.lua"] = 15,
  ["spec/interop/browser_spec.lua"] = 15,
  ["spec/interop/redis_cluster_spec.lua"] = 15,
  ["spec/interop/conformance_spec.lua"] = 15,
  ["spec/behaviour/context_spec.lua"] = 13,
  ["spec/interop/front_spec.lua"] = 13,
  ["spec/behaviour/uv_spec.lua"] = 11,
  ["spec/interop/loops_spec.lua"] = 11,
  ["spec/behaviour/uv_suite_spec.lua"] = 10,
  ["spec/interop/browser_deflate_spec.lua"] = 10,
  ["spec/interop/curl_spec.lua"] = 10,
  ["spec/interop/neovim_spec.lua"] = 10,
  ["spec/unit/wire/differential_spec.lua"] = 10,
  ["spec/behaviour/blocking_spec.lua"] = 8,
  ["spec/behaviour/capacity_spec.lua"] = 8,
  ["spec/behaviour/compressed_sharing_spec.lua"] = 8,
  ["spec/interop/scripts_spec.lua"] = 8,
  ["spec/packaging/docs_code_spec.lua"] = 8,
  ["spec/behaviour/secure_spec.lua"] = 7,
  ["spec/interop/deflate_spec.lua"] = 7,
  ["spec/behaviour/memory_spec.lua"] = 6,
  ["spec/behaviour/workers_spec.lua"] = 6,
  ["spec/interop/backplane_spec.lua"] = 6,
  ["spec/interop/pages_spec.lua"] = 6,
  ["spec/packaging/bench_spec.lua"] = 6,
  ["spec/behaviour/blocking_hostile_spec.lua"] = 5,
  ["spec/behaviour/drain_spec.lua"] = 5,
  ["spec/interop/secure_client_spec.lua"] = 5,
  ["spec/interop/tls_browser_spec.lua"] = 5,
  ["spec/behaviour/tls_attacks_spec.lua"] = 4,
  ["spec/behaviour/tls_flood_spec.lua"] = 4,
  ["spec/behaviour/two_x_sync_spec.lua"] = 4,
  ["spec/behaviour/waiting_memory_spec.lua"] = 4,
  ["spec/interop/history_spec.lua"] = 4,
  ["spec/interop/tls_clients_spec.lua"] = 4,
  ["spec/unit/connection/subscriptions_spec.lua"] = 4,
}
local OTHERS_SECONDS = 0.5
local PORTION_SECONDS = 8

local function name_of(pair)
  return pair.is_native and pair.lua .. " native" or pair.lua
end

local function is_selected(pair, names)
  for _, name in ipairs(names) do
    if name:gsub("^%*", pair.lua) == name_of(pair) then return true end
  end
  return false
end

-- Whether the pair runs the file in a whole run.
local function runs(pair, file, pairs_here)
  local names = SELECTED[file]
  if not names or is_selected(pair, names) then return true end
  for _, other in ipairs(pairs_here) do
    if is_selected(other, names) then return false end
  end
  return pair == pairs_here[1]
end

--- Parts the files among the pairs.
-- @tparam {table,...} pairs_here every pair of this run
-- @tparam {string,...} files paths of spec files
-- @tparam boolean is_whole false: every pair runs every file
-- @treturn {table,...} portions, longest first: `pair`, `files`, `seconds`
function plan.portions(pairs_here, files, is_whole)
  local portions = {}
  local function add(pair, list, seconds)
    portions[#portions + 1] = { pair = pair, files = list, seconds = seconds, number = #portions }
  end
  for _, pair in ipairs(pairs_here) do
    local small, seconds = {}, 0
    for _, file in ipairs(files) do
      local is_asked = not is_whole or runs(pair, file, pairs_here)
      if is_asked and SECONDS[file] then
        add(pair, { file }, SECONDS[file])
      elseif is_asked then
        small[#small + 1], seconds = file, seconds + OTHERS_SECONDS
        if seconds >= PORTION_SECONDS then
          add(pair, small, seconds)
          small, seconds = {}, 0
        end
      end
    end
    if small[1] then add(pair, small, seconds) end
  end
  table.sort(portions, function(a, b)
    if a.seconds ~= b.seconds then return a.seconds > b.seconds end
    return a.number < b.number
  end)
  return portions
end

--- The files that the tables of this module name, in no order.
-- @treturn {string,...}
function plan.named_files()
  local list = {}
  for _, by_file in ipairs({ SELECTED, SECONDS }) do
    for file in pairs(by_file) do list[#list + 1] = file end
  end
  return list
end

return plan
