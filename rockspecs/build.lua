--- Builds and installs the library for the Lua that runs this script; LuaRocks calls it.
--
--     lua rockspecs/build.lua build                    the accelerator where it can be built
--     lua rockspecs/build.lua install LUADIR LIBDIR    the library, and the accelerator where it was built
--     lua rockspecs/build.lua native FOLDER            the accelerator alone, into a folder
--
-- `WEBSOCKETS_NATIVE=off` leaves the accelerator out; `on` makes it an error that it cannot be built.

local steps = {}

local NAME = jit and "LuaJIT" or _VERSION
local FEATURE = jit and "luajit" or "lua" .. _VERSION:gsub("%D", "")
local WISH = os.getenv("WEBSOCKETS_NATIVE")
local TARGET = (os.getenv("CARGO_TARGET_DIR") or "target") .. "/" .. FEATURE
local PRODUCT = TARGET .. "/websockets_native.so"

-- os.execute answers 0 in Lua 5.1 and true in later ones.
local function run(command)
  local ok = os.execute(command)
  return ok == true or ok == 0
end

local function quote(word)
  return "'" .. word:gsub("'", "'\\''") .. "'"
end

local function say(text)
  io.stdout:write("lua-websockets: ", text, "\n")
  io.stdout:flush()
end

-- A copy under a new name, so that a program that has the old one open keeps it.
local function copy(from, to)
  return run(("cp %s %s && mv -f %s %s"):format(quote(from), quote(to .. ".new"), quote(to .. ".new"), quote(to)))
end

local function build_native()
  os.remove(PRODUCT)
  if WISH == "off" then return false, "WEBSOCKETS_NATIVE=off" end
  if not run("cargo --version >/dev/null 2>&1") then return false, "there is no cargo" end
  local built = run(("cargo build --release --locked --quiet --features %s --target-dir %s"):format(
    FEATURE, quote(TARGET)))
  if built and copy(TARGET .. "/release/libwebsockets_native.so", PRODUCT) then return true end
  return false, "cargo could not build it (Rust 1.88 or later is needed, and Linux)"
end

function steps.build()
  local built, why = build_native()
  if built then return say("the accelerator for " .. NAME .. " is built") end
  say("WITHOUT the accelerator: " .. why)
  if WISH == "on" then os.exit(1) end
  say("installing the pure Lua engine for " .. NAME)
end

function steps.install(lua_dir, lib_dir)
  assert(lua_dir and lib_dir, "install: where to? (LUADIR LIBDIR)")
  local target = quote(lua_dir)
  assert(run("mkdir -p " .. target .. " && cp -R lua/. " .. target), "install: could not copy lua/ to " .. lua_dir)
  local product = io.open(PRODUCT, "rb")
  if not product then return end
  product:close()
  assert(run("mkdir -p " .. quote(lib_dir)) and copy(PRODUCT, lib_dir .. "/websockets_native.so"),
    "install: could not copy the accelerator to " .. lib_dir)
end

function steps.native(folder)
  assert(folder, "native: where to? (FOLDER)")
  local built, why = build_native()
  if not built then
    io.stderr:write("no accelerator for ", NAME, ": ", why, "\n")
    os.exit(1)
  end
  assert(run("mkdir -p " .. quote(folder)) and copy(PRODUCT, folder .. "/websockets_native.so"))
  say("the accelerator for " .. NAME .. " is in " .. folder)
end

local step = steps[arg[1]]
if not step then
  io.stderr:write("usage: lua rockspecs/build.lua build | install LUADIR LIBDIR | native FOLDER\n")
  os.exit(2)
end
step(arg[2], arg[3])
