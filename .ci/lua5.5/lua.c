/* Lua's standalone interpreter, as far as tests need it: `lua5.5 [-e CODE] [-v] [SCRIPT [ARGUMENTS]]`. The crate with
   Lua's sources leaves that program out. */
#include <stdio.h>
#include <string.h>

#include "lauxlib.h"
#include "lualib.h"

static int with_traceback(lua_State *L) {
  const char *message = luaL_tolstring(L, 1, NULL);
  luaL_traceback(L, L, message, 1);
  return 1;
}

/* Runs the chunk below its `count` arguments; an error goes to stderr. */
static int run(lua_State *L, int loaded, int count) {
  int base = lua_gettop(L) - count;
  if (loaded == LUA_OK) {
    lua_pushcfunction(L, with_traceback);
    lua_insert(L, base);
    loaded = lua_pcall(L, count, 0, base);
    lua_remove(L, base);
  }
  if (loaded != LUA_OK)
    fprintf(stderr, "lua5.5: %s\n", luaL_tolstring(L, -1, NULL));
  return loaded != LUA_OK;
}

/* The table `arg`: the script at 0, what stands before it below. */
static void set_arguments(lua_State *L, int count, char **words, int script) {
  int at;
  lua_newtable(L);
  for (at = 0; at < count; at++) {
    lua_pushstring(L, words[at]);
    lua_rawseti(L, -2, at - script);
  }
  lua_setglobal(L, "arg");
}

static int run_script(lua_State *L, int count, char **words, int script) {
  int at, loaded = luaL_loadfile(L, strcmp(words[script], "-") ? words[script] : NULL);
  if (loaded != LUA_OK)
    return run(L, loaded, 0);
  luaL_checkstack(L, count, "too many arguments");
  for (at = script + 1; at < count; at++)
    lua_pushstring(L, words[at]);
  return run(L, loaded, count - script - 1);
}

int main(int count, char **words) {
  lua_State *L = luaL_newstate();
  int at, failed = 0, script = 1;

  if (!L)
    return 1;
  luaL_openlibs(L);
  while (script < count && words[script][0] == '-' && words[script][1])
    script += strcmp(words[script], "-e") ? 1 : 2;
  set_arguments(L, count, words, script < count ? script : 0);
  for (at = 1; at < script && !failed; at++) {
    if (!strcmp(words[at], "-v"))
      puts(LUA_RELEASE);
    else if (!strcmp(words[at], "-e") && ++at < count)
      failed = run(L, luaL_loadstring(L, words[at]), 0);
    else
      failed = fprintf(stderr, "lua5.5: what is %s?\n", words[at < count ? at : count - 1]);
  }
  if (!failed && script < count)
    failed = run_script(L, count, words, script);
  lua_close(L);
  return failed != 0;
}
