--- What libuv calls an error, in the words that the library has for it.
-- @module websockets.transport.uv_errors
local errors = {
  --- We have closed it, or the program ends: then the other objects of libuv may be gone already.
  CANCELED = "ECANCELED",
}

-- The words of LuaSocket.
local WORDS = {
  ECONNREFUSED = "connection refused", ETIMEDOUT = "timeout", EADDRINUSE = "address already in use",
  ENOENT = "No such file or directory", ENETUNREACH = "Network is unreachable", EHOSTUNREACH = "No route to host",
  EADDRNOTAVAIL = "Cannot assign requested address", EACCES = "permission denied", EMFILE = "Too many open files",
  EAI_NONAME = "name not known", EAI_AGAIN = "temporary failure in name resolution",
}

--- Says what an error is.
-- @tparam ?string why what libuv calls it, as `ECONNREFUSED` or `ECONNREFUSED: connection refused`
-- @treturn string
function errors.describe(why)
  why = tostring(why)
  local name, text = why:match("^(%u[%u%d_]+): (.*)$")
  return WORDS[name or why] or text or why
end

--- Says how a connection has ended.
-- @tparam string why what libuv calls the error
-- @treturn string `closed` or `reset`
function errors.end_of(why)
  return (why == "EPIPE" or why == "EOF" or why == "ENOTCONN") and "closed" or "reset"
end

return errors
