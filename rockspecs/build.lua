--- Builds and installs the library for the Lua that runs this script; LuaRocks calls it.
--
--     lua rockspecs/build.lua build
--     lua rockspecs/build.lua install LUADIR LIBDIR

local steps = {}

-- os.execute answers 0 in Lua 5.1 and true in later ones.
local function run(command)
  local ok = os.execute(command)
  return ok == true or ok == 0
end

local function quote(word)
  return "'" .. word:gsub("'", "'\\''") .. "'"
end

function steps.build()
  local name = jit and "LuaJIT" or _VERSION
  io.stdout:write("lua-websockets: installing the pure Lua engine for ", name, "\n")
end

function steps.install(lua_dir)
  assert(lua_dir, "install: where to? (LUADIR LIBDIR)")
  local target = quote(lua_dir)
  assert(run("mkdir -p " .. target .. " && cp -R lua/. " .. target), "install: could not copy lua/ to " .. lua_dir)
end

local step = steps[arg[1]]
if not step then
  io.stderr:write("usage: lua rockspecs/build.lua build | install LUADIR LIBDIR\n")
  os.exit(2)
end
step(arg[2], arg[3])
