--- libuv, as Neovim or luv gives it.
-- @module websockets.transport.libuv
local libuv = {}

local MAX_ROUNDS = 8

local library

local function find()
  local vim = rawget(_G, "vim")
  local of_neovim = type(vim) == "table" and (vim.uv or vim.loop)
  if of_neovim then return of_neovim end
  local found, luv = pcall(require, "luv")
  if not found then found, luv = pcall(require, "uv") end
  if not (found and type(luv) == "table" and luv.new_tcp) then
    error("websockets needs luv for its option sockets = \"uv\", and it is not installed (luarocks install luv)", 0)
  end
  return luv
end

--- Gives libuv.
-- @treturn table of luv or Neovim
-- @raise one sentence if it is not there
function libuv.library()
  library = library or find()
  return library
end

-- Whether handles have been closed since the loop ran: it is the loop of the whole program.
local has_closed = false

--- Closes a handle.
-- @tparam userdata handle
function libuv.close(handle)
  has_closed = true
  if not handle:is_closing() then handle:close() end
end

--- Closes a connection, which its peer notices at once.
-- @tparam userdata handle
function libuv.reset(handle)
  has_closed = true
  if not (handle.close_reset and handle:close_reset()) then libuv.close(handle) end
end

--- Has the loop finish what was closed, where it is not running. luv crashes at the end of a program that has closed a
-- handle and has not run the loop since.
function libuv.finish_closing()
  local rounds = 0
  -- What the loop calls may close more.
  while has_closed and rounds < MAX_ROUNDS do
    has_closed, rounds = false, rounds + 1
    libuv.library().run("nowait")
  end
end

return libuv
