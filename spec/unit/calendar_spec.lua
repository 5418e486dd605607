--- Seconds of dates.
-- @module spec.unit.calendar_spec

local calendar = require("websockets.calendar")

describe("websockets.calendar", function()
  it("counts as the system does, over four hundred years", function()
    for seconds = 0, 400 * 365.25 * 86400, 86400 * 17 + 3723 do
      local date = os.date("!*t", seconds)
      assert.equal(seconds, calendar.seconds(date.year, date.month, date.day, date.hour, date.min, date.sec))
    end
  end)

  it("knows the months by name and by number", function()
    for number = 1, 12 do
      local name = os.date("!%b", calendar.seconds(2026, number, 15, 0, 0, 0))
      assert.same({ name, number }, { calendar.MONTHS[number], calendar.MONTHS[name] })
    end
  end)
end)
