--- Starts busted under the Lua that runs this file, however busted was installed.
-- @script busted_start
require "busted.runner"({ standalone = false })
