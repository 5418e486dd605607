--- Builds and installs the library for the Lua that runs this script; LuaRocks calls it.
--
--     lua rockspecs/build.lua build                    the accelerator where it can be built
--     lua rockspecs/build.lua install LUADIR LIBDIR    the library, and the accelerator where it was built
--     lua rockspecs/build.lua native FOLDER            the accelerator alone, into a folder
--     lua rockspecs/build.lua check                    says why it cannot be built here and fails, else says nothing
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

local function output_of(command)
  local pipe = assert(io.popen(command .. " 2>/dev/null", "r"))
  local text = pipe:read("*a")
  pipe:close()
  return text
end

local function number_of(version)
  local major, minor = version:match("(%d+)%.(%d+)")
  return major and major * 1000 + minor
end

-- The oldest Rust that Cargo.toml allows.
local function oldest_rust()
  local file = assert(io.open("Cargo.toml", "r"))
  local version = file:read("*a"):match('\nrust%-version = "([%d.]+)"')
  file:close()
  return assert(version, "Cargo.toml has no rust-version")
end

-- Why the accelerator cannot be built on this machine; nil where it can.
local function obstacle()
  if output_of("uname -s") ~= "Linux\n" then return "the accelerator needs Linux" end
  local version = output_of("cargo --version"):match("^cargo ([%d.]+)")
  if not version then return "there is no cargo" end
  local oldest = oldest_rust()
  if number_of(version) < number_of(oldest) then
    return ("cargo %s is too old: Rust %s or later is needed"):format(version, oldest)
  end
end

local function build_native()
  os.remove(PRODUCT)
  if WISH == "off" then return false, "WEBSOCKETS_NATIVE=off" end
  local why = obstacle()
  if why then return false, why end
  say("cargo compiles the accelerator for " .. NAME .. "; the first time this takes some minutes")
  local built = run(("cargo build --release --locked --quiet --features %s --target-dir %s"):format(
    FEATURE, quote(TARGET)))
  if built and copy(TARGET .. "/release/libwebsockets_native.so", PRODUCT) then return true end
  return false, "cargo could not build it"
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

function steps.check()
  local why = obstacle()
  if not why then return end
  io.stdout:write("no accelerator: ", why, "\n")
  os.exit(1)
end

local step = steps[arg[1]]
if not step then
  io.stderr:write("usage: lua rockspecs/build.lua build | install LUADIR LIBDIR | native FOLDER | check\n")
  os.exit(2)
end
step(arg[2], arg[3])
