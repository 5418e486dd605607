--- Conditional requests and range requests: dates, entity tags, preconditions, ranges.
-- @module websockets.http.validators
local calendar = require("websockets.calendar")
local fields = require("websockets.http.fields")

local validators = {}

local find, floor, sub = string.find, math.floor, string.sub

local DAYS = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" }
local MONTHS = calendar.MONTHS
-- A file that was changed this recently may change again without getting another date: dates follow the ticks of the
-- system's clock, and where they are whole seconds, some file systems count in twos.
local TICK_SECONDS, WHOLE_SECONDS = 0.05, 2.05

--- Writes a date in the form of HTTP, in any locale.
-- @rfc 9110 5.6.7
-- @tparam number seconds since 1970
-- @treturn string
function validators.format_date(seconds)
  local date = os.date("!*t", floor(seconds))
  return ("%s, %02d %s %04d %02d:%02d:%02d GMT"):format(DAYS[date.wday], date.day, MONTHS[date.month], date.year,
    date.hour, date.min, date.sec)
end

local function full_year(year)
  if #year == 4 then return tonumber(year) end
  -- RFC 9110 5.6.7: two digits never mean a year more than 50 years in the future.
  local now = tonumber(os.date("!%Y"))
  local guess = now - now % 100 + tonumber(year)
  return guess > now + 50 and guess - 100 or guess
end

--- Reads a date in any of the three forms of HTTP.
-- @rfc 9110 5.6.7
-- @tparam ?string text
-- @treturn ?number seconds since 1970; nil if it is not a date
function validators.parse_date(text)
  if not text then return nil end
  local day, month, year, hour, minute, second =
    text:match("^%a+, (%d%d)[ -](%a%a%a)[ -](%d+) (%d%d):(%d%d):(%d%d) GMT$")
  if not day then
    month, day, hour, minute, second, year = text:match("^%a%a%a (%a%a%a) ([ %d]%d) (%d%d):(%d%d):(%d%d) (%d%d%d%d)$")
  end
  month = MONTHS[month or ""]
  if not month or (#year ~= 4 and #year ~= 2) then return nil end
  day, hour, minute, second = tonumber(day), tonumber(hour), tonumber(minute), tonumber(second)
  if not day or day < 1 or day > 31 or hour > 23 or minute > 59 or second > 60 then return nil end
  return calendar.seconds(full_year(year), month, day, hour, minute, second)
end

local function is_fresh(mtime, now)
  local unit = mtime % 1 == 0 and WHOLE_SECONDS or TICK_SECONDS
  return now - mtime <= unit and mtime - now <= unit
end

-- Fractions of a second, which a file may have, are lost in a date of HTTP.
local function has_fresh_date(mtime, now)
  return is_fresh(floor(mtime), now)
end

--- Makes the strong entity tag of a file.
-- @rfc 9110 8.8.1, 8.8.3
-- @tparam table known facts of the file: `size`, `mtime`, `inode`
-- @tparam number now seconds since 1970
-- @treturn ?string with its quotes; nil while another version of the file could get the same
function validators.etag(known, now)
  if is_fresh(known.mtime, now) then return nil end
  -- Fractions of a second count if the system gives them.
  local mtime = known.mtime % 1 == 0 and "%.0f" or "%.9f"
  return ('"%.0f-%.0f-' .. mtime .. '"'):format(known.inode or 0, known.size, known.mtime)
end

--- Writes the date of a file.
-- @rfc 9110 8.8.2
-- @tparam table known facts of the file: `mtime`
-- @tparam number now seconds since 1970
-- @treturn ?string nil while another version of the file could get the same, and for a date in the future
function validators.last_modified(known, now)
  if known.mtime > now or has_fresh_date(known.mtime, now) then return nil end
  return validators.format_date(known.mtime)
end

-- RFC 9110 8.8.3.2: whether a list has this tag; weak tags count only in a weak comparison.
local function has_tag(list, etag, is_weak)
  if find(list, "^[ \t]*%*[ \t]*$") then return true end
  for prefix, tag in list:gmatch('(W?/?)("[^"]*")') do
    if tag == etag and (is_weak or prefix ~= "W/") then return true end
  end
  return false
end

--- Evaluates the preconditions of a GET or HEAD request.
-- @rfc 9110 13.2.2
-- @tparam table headers of the request
-- @tparam ?string etag of what would be sent
-- @tparam ?number mtime of what would be sent
-- @tparam number now seconds since 1970
-- @treturn integer 200, 304 or 412
function validators.precondition(headers, etag, mtime, now)
  local match, none_match = headers["if-match"], headers["if-none-match"]
  local seconds, may_differ = mtime and floor(mtime), mtime and has_fresh_date(mtime, now)
  if match then
    if not has_tag(match, etag, false) then return 412 end
  elseif seconds then
    local since = validators.parse_date(headers["if-unmodified-since"])
    if since and (seconds > since or may_differ) then return 412 end
  end
  if none_match then
    if etag and has_tag(none_match, etag, true) then return 304 end
  elseif seconds and not may_differ then
    local since = validators.parse_date(headers["if-modified-since"])
    if since and seconds <= since then return 304 end
  end
  return 200
end

-- RFC 9110 13.1.5: a part is useful only to a client that has the rest of the same bytes.
local function is_same(condition, etag, mtime, now)
  if not condition then return true end
  if sub(condition, 1, 1) == '"' then return etag ~= nil and condition == etag end
  if not mtime or has_fresh_date(mtime, now) then return false end
  return validators.parse_date(condition) == floor(mtime)
end

-- RFC 9110 14.1.2. A number of more than 15 digits is not exact, but past the end of any file.
local function number_of(digits)
  if #digits > 15 then return 1e15 end
  return tonumber(digits)
end

-- RFC 9110 14.1.1: the digits before and after the dash; nil unless exactly one range of bytes is named.
local function read_range(value)
  local ranges = fields.elements((value or ""):match("^[bB][yY][tT][eE][sS]=(.*)$") or "")
  if #ranges == 1 then return ranges[1]:match("^(%d*)%-(%d*)$") end
end

--- Finds which part of a file a GET request asks for.
-- @rfc 9110 13.1.5, 14.2
-- @tparam table headers of the request
-- @tparam number size of the file in bytes
-- @tparam ?string etag
-- @tparam ?number mtime
-- @tparam number now seconds since 1970
-- @treturn[1] number position of the first byte, from 0
-- @treturn[1] number position of the last byte
-- @treturn[2] nil the whole file: no range, several ranges, an unknown unit, or a range of another version of the file
-- @treturn[3] boolean false: the range has no byte of the file, 416
function validators.range(headers, size, etag, mtime, now)
  local first, last = read_range(headers.range)
  if not first or (first == "" and last == "") then return nil end
  if not is_same(headers["if-range"], etag, mtime, now) then return nil end
  if first == "" then
    local count = number_of(last)
    if count == 0 then return false end
    if size == 0 then return nil end
    return count < size and size - count or 0, size - 1
  end
  first, last = number_of(first), last ~= "" and number_of(last) or size - 1
  if first >= size then
    -- A range whose last byte is before its first is ignored.
    if last < first and last ~= size - 1 then return nil end
    return false
  end
  if last < first then return nil end
  return first, last < size and last or size - 1
end

return validators
