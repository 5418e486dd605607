--- Each call of the system that can fail does so: the context lives, others are served, all descriptors come back, and
-- nothing spins. `make faults-table` prints the same rows.
-- @module spec.behaviour.faults_table_spec
local rows = require("spec.support.system_faults.rows")
local server = require("spec.support.server")
local system_faults = require("spec.support.system_faults")

local ENGINE = server.is_native and "native" or "pure"

describe("system fault", function()
  local found

  setup(function() found = system_faults.run() end)

  for number, row in ipairs(rows.list()) do
    if not row.engines or row.engines == ENGINE then
      it(("%d: %s: %s: %s"):format(number, row.call, row.fault, row.must), function()
        if not found then pending("needs " .. system_faults.NEED) end
        assert.equal("passed", found[number] or "not run: " .. found.last)
      end)
    end
  end
end)
