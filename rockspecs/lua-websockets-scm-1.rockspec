rockspec_format = "3.0"
package = "lua-websockets"
version = "scm-1"
source = {
  url = ".",
}
description = {
  summary = "WebSocket servers and clients for every Lua",
  detailed = [[
WebSocket (RFC 6455) servers and clients for Lua 5.1 to 5.5 and LuaJIT, over
LuaSocket: subprotocols, broadcasts, plain HTTP beside them, one turn at a time
or under an event loop of your own. `require "websocket"` is the API of
lua-websockets 2.x.]],
  license = "MIT",
  labels = { "websocket", "network", "http" },
}
dependencies = {
  "lua >= 5.1, < 5.6",
  "luasocket",
}
test_dependencies = {
  "busted >= 2.1",
}
test = {
  type = "command",
  script = "spec/run.lua",
}
build = {
  type = "command",
  build_command = "$(LUA) rockspecs/build.lua build",
  install_command = "$(LUA) rockspecs/build.lua install $(LUADIR) $(LIBDIR)",
}
