std = "max"
max_line_length = 120
exclude_files = { "**/.deps", "**/target", "build", "lua_modules" }
files["spec"].std = "max+busted"
files["examples/love-dots"].globals = { "love" }
files["spec/fixtures/love"].globals = { "love" }
files["config.ld"].ignore = { "111", "131" }
files["rockspecs/*.rockspec"].ignore = { "111", "131" }
