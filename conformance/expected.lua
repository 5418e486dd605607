--- What a run of the Autobahn cases has to show. Every case that is not listed has to be OK, its close too.
-- @module conformance.expected
local LATE_CLOSE = "a close frame right behind 256 KiB and a ping after it: what is still answered is left open"
local LARGE_CODE = "close codes from 5000 on: the standard gives them no meaning"

local function informational(why)
  return { behavior = "INFORMATIONAL", close = "INFORMATIONAL", why = why }
end

-- Twelve more (13.2.1-3, 13.5.1-3, 13.6.1-3, 13.7.1-3) end in ERROR, by a fault of the suite's, for a peer that sends a
-- small text plain after compression was agreed. Ours compresses everything when it is tested: they have to be OK.
return {
  --- How many cases each part has.
  counts = {
    ["1"] = 16, ["2"] = 11, ["3"] = 7, ["4"] = 10, ["5"] = 20, ["6"] = 145, ["7"] = 37, ["9"] = 54, ["10"] = 1,
    ["12"] = 90, ["13"] = 126,
  },

  plain = { behavior = "OK", close = "OK" },

  cases = {
    ["7.1.6"] = informational(LATE_CLOSE),
    ["7.13.1"] = informational(LARGE_CODE),
    ["7.13.2"] = informational(LARGE_CODE),
  },
}
