--- The Gregorian calendar, without the time zone of this machine.
-- @module websockets.calendar
local calendar = {
  --- The months as protocols write them, and the number of each by its name.
  MONTHS = { "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" },
}

local floor = math.floor

local DAY_SECONDS = 86400

for number = 1, #calendar.MONTHS do calendar.MONTHS[calendar.MONTHS[number]] = number end

-- The year is counted from March, so that the leap day comes last.
local function days_since_1970(year, month, day)
  if month <= 2 then year, month = year - 1, month + 12 end
  return 365 * year + floor(year / 4) - floor(year / 100) + floor(year / 400) + floor((153 * month - 457) / 5) + day
    - 719469
end

--- Counts the seconds from 1970 to a time of UTC.
-- @tparam integer year
-- @tparam integer month
-- @tparam integer day
-- @tparam integer hour
-- @tparam integer minute
-- @tparam integer second
-- @treturn integer
function calendar.seconds(year, month, day, hour, minute, second)
  return days_since_1970(year, month, day) * DAY_SECONDS + hour * 3600 + minute * 60 + second
end

return calendar
