--- The verdicts that the Autobahn cases must give. Every case that is not listed must be OK, and its close too.
-- @module conformance.expected
local LATE_CLOSE = "a close frame directly after 256 KiB, and a ping after it: what is still answered is left open"
local LARGE_CODE = "close codes from 5000 on: the standard does not define them"

-- RFC 7692 6 allows uncompressed messages. In these twelve cases the runner (kosoku) fails by its own fault if a text
-- comes uncompressed: it hashes text that it has decoded already ("Strings must be encoded before hashing"), and gives
-- ERROR, and FAILED for the close. The messages have 16, 64 or 256 bytes, so that a peer that compresses from 1,024
-- bytes on (Node's ws) gets this verdict. Our peers are started with `threshold = 0`, compress everything, and must be
-- OK.
local FAULT_OF_RUNNER = "the runner fails if small texts come uncompressed"

local function informational(why)
  return { behavior = "INFORMATIONAL", close = "INFORMATIONAL", why = why }
end

local function faulty()
  return { behavior = "OK", close = "OK", why = FAULT_OF_RUNNER, plain = { behavior = "ERROR", close = "FAILED" } }
end

return {
  --- Number of cases in each part, and in each group of the long parts.
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
