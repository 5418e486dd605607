--- What a run of the Autobahn cases has to show. Every case that is not listed has to be OK, its close too.
-- @module conformance.expected
local LATE_CLOSE = "a close frame right behind 256 KiB and a ping after it: what is still answered is left open"
local LARGE_CODE = "close codes from 5000 on: the standard gives them no meaning"

-- RFC 7692 6 lets each message go plain. Here a text that does stops the suite in itself: it takes a hash of what it
-- has decoded already ("Strings must be encoded before hashing") and calls the case ERROR, its close FAILED.
-- In these twelve no context is kept and messages have 16, 64 or 256 bytes: a peer that compresses such messages from
-- 1,024 bytes on (Node's ws) ends so. Ours are started with `threshold = 0`, send nothing plain and have to be OK.
local STOPS_ITSELF = "an ERROR of the suite's own for a peer that sends small texts plain"

local function informational(why)
  return { behavior = "INFORMATIONAL", close = "INFORMATIONAL", why = why }
end

local function faulty()
  return { behavior = "OK", close = "OK", why = STOPS_ITSELF, plain = { behavior = "ERROR", close = "FAILED" } }
end

return {
  --- How many cases there are in each part, and in each group of the long ones.
  counts = {
    ["1"] = 16, ["2"] = 11, ["3"] = 7, ["4"] = 10, ["5"] = 20, ["6"] = 145, ["7"] = 37, ["9"] = 54, ["10"] = 1,
    ["12"] = 90, ["13"] = 126,
    ["12.1"] = 18, ["12.2"] = 18, ["12.3"] = 18, ["12.4"] = 18, ["12.5"] = 18,
    ["13.1"] = 18, ["13.2"] = 18, ["13.3"] = 18, ["13.4"] = 18, ["13.5"] = 18, ["13.6"] = 18, ["13.7"] = 18,
  },

  usual = { behavior = "OK", close = "OK" },

  cases = {
    ["7.1.6"] = informational(LATE_CLOSE),
    ["7.13.1"] = informational(LARGE_CODE),
    ["7.13.2"] = informational(LARGE_CODE),
    ["13.2.1"] = faulty(), ["13.2.2"] = faulty(), ["13.2.3"] = faulty(),
    ["13.5.1"] = faulty(), ["13.5.2"] = faulty(), ["13.5.3"] = faulty(),
    ["13.6.1"] = faulty(), ["13.6.2"] = faulty(), ["13.6.3"] = faulty(),
    ["13.7.1"] = faulty(), ["13.7.2"] = faulty(), ["13.7.3"] = faulty(),
  },
}
