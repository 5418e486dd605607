--- Starts busted under the Lua that runs this file, however busted was installed.
-- @script busted_start

-- Busted has each spec file load its modules anew. luv has one loop for all of them, which ends with the first.
pcall(require, "luv")

require "busted.runner"({ standalone = false })
