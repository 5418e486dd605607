--- Which library gives the sockets of a context: LuaSocket, or libuv, by luv or by Neovim.
--
-- A library is a table with these functions. `time()`, `sleep(seconds)`, `hostname()`. `placeholder()`,
-- `connect(address, port, set_flags)` and `new(socket)` make transports;
-- `listen(kind, address, port, backlog, dual, shares)` makes a listening socket with `accept`, `getfd`, `getsockname`,
-- `settimeout`, `close`. `resolve(name)` waits for the answer; in its place there may be `look_up(name)`, which gives a
-- transport that receives the answer. `wall()` may give the function that `time` calls, so that a turn can call it
-- directly; `now()` may tell the time on a clock that only goes forward.
--
-- It may also have a `poller` of its own, in place of those of LuaSocket and of the accelerator; a `clock()`, in place
-- of the best one of the system; and `is_plain`, where connections to wss:// have no TLS because no byte leaves the
-- program. Those that `choose` gives have a `name`, and `library()`, which gives what they wrap or raises one sentence.
-- @module websockets.transport.sockets
local load = require("websockets.loading").load
local luasocket = require("websockets.transport.luasocket")

local sockets = {}

local MODULES = { luasocket = "websockets.transport.luasocket", uv = "websockets.transport.uv" }

-- The table `vim` of another program has no libuv.
local function is_neovim()
  local vim = rawget(_G, "vim")
  return type(vim) == "table" and (vim.uv or vim.loop) ~= nil
end

-- Inside of Neovim its own libuv comes first: it is always there, and runs anyway. A LuaSocket of the distribution ends
-- Neovim with a fault when it connects, because both programs have a function of the same name.
local function find()
  if is_neovim() then return load("websockets.transport.uv") end
  local has_luasocket, why = pcall(luasocket.library)
  if has_luasocket then return luasocket end
  -- Anything else, as an interrupt or a lack of memory, says nothing of LuaSocket.
  local is_of_no_use = why:find("not installed", 1, true) or why:find("error loading module", 1, true)
  if not is_of_no_use then error(why, 0) end
  local uv = load("websockets.transport.uv")
  if pcall(uv.library) then return uv end
  error(why .. (why:find("not installed", 1, true) and ", or luv (luarocks install luv)" or ""), 0)
end

--- Gives the library that is asked for, else the one that fits this program.
-- @tparam ?string wish "luasocket" or "uv"; nil: what the environment variable WEBSOCKETS_SOCKETS says, if anything
-- @treturn table
-- @raise where it is not there, or where none is
function sockets.choose(wish)
  wish = wish or os.getenv("WEBSOCKETS_SOCKETS") or ""
  if wish == "" then return find() end
  if not MODULES[wish] then
    error(('WEBSOCKETS_SOCKETS is "%s": "luasocket" or "uv" expected'):format(wish), 0)
  end
  local chosen = load(MODULES[wish])
  chosen.library()
  return chosen
end

--- Says that something needs LuaSocket, where that is not what was chosen.
-- @tparam table chosen
-- @tparam string what
-- @treturn ?string message
function sockets.lack(chosen, what)
  if chosen.name ~= "uv" then return nil end
  return what .. " needs LuaSocket, and this context has the sockets of libuv"
end

return sockets
