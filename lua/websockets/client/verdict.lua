--- Whether a connection that has ended may be tried again, by what is known of its end.
-- @module websockets.client.verdict
local validators = require("websockets.http.validators")

local verdict = {}

-- The next try would end as this one did.
local FINAL_WORDS = { certificate = true, destroyed = true, handshake = true, redirect = true }
-- The server judged what we are or say, and would again.
local FINAL_CODES = {
  [1002] = true, [1003] = true, [1007] = true, [1008] = true, [1010] = true,
  -- Registered at IANA: unauthorized, forbidden.
  [3000] = true, [3003] = true,
}
-- Answers 300 to 499 are final but for these: they may pass.
local PASSING = { [408] = true, [421] = true, [425] = true, [429] = true }
local MAX_RETRY_AFTER_SECONDS = 3600
local MAX_DIGITS = 9

-- What a status says.
local function is_refused(status)
  return status >= 300 and status < 500 and not PASSING[status]
end

--- Tells whether an end is final.
-- @rfc 6455 7.4.1
-- @tparam table outcome `code`, `why`, as of a connection
-- @tparam ?table answer that refused the opening handshake, of `websockets.http.answer`
-- @tparam ?boolean is_denied whether a proxy refused our credentials, or lacked some
-- @treturn boolean
function verdict.is_final(outcome, answer, is_denied)
  if FINAL_WORDS[outcome.why] then return true end
  if outcome.why == "proxy" then return is_denied == true end
  if outcome.why == "status" then return answer ~= nil and is_refused(answer.status) end
  return outcome.why == "closed" and FINAL_CODES[outcome.code] == true
end

--- Tells how long the server asks us to wait, where it answered 429 or 503.
-- @rfc 9110 10.2.3
-- @tparam ?table answer that refused the opening handshake
-- @tparam number now seconds since 1970, for a server that names no date of its own
-- @treturn ?number seconds, an hour at most; nil where it asks nothing
function verdict.retry_after(answer, now)
  if not answer or (answer.status ~= 429 and answer.status ~= 503) then return nil end
  local value = answer.headers["retry-after"]
  local digits = value and value:match("^%d+$")
  local seconds = digits and (#digits <= MAX_DIGITS and tonumber(digits) or math.huge)
  if not seconds then
    local date = validators.parse_date(value)
    if not date then return nil end
    seconds = date - (validators.parse_date(answer.headers.date) or now)
  end
  return math.max(0, math.min(seconds, MAX_RETRY_AFTER_SECONDS))
end

return verdict
