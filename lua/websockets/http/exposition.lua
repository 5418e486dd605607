--- Metrics in the text format of Prometheus, version 0.0.4.
-- @module websockets.http.exposition
local exposition = {}

--- The media type of the format.
exposition.TYPE = "text/plain; version=0.0.4; charset=utf-8"

local ESCAPES = { ["\\"] = "\\\\", ["\n"] = "\\n", ['"'] = '\\"' }

-- Every number comes back as it was; whole ones have no point.
local function write(number)
  if number == math.huge then return "+Inf" end
  if number == -math.huge then return "-Inf" end
  if number ~= number then return "NaN" end
  if number % 1 == 0 and math.abs(number) < 2 ^ 53 then return ("%d"):format(number) end
  local short = ("%.15g"):format(number)
  return tonumber(short) == number and short or ("%.17g"):format(number)
end

local function label(name, value)
  return ('%s="%s"'):format(name, tostring(value):gsub('[\\\n"]', ESCAPES))
end

local function sample(lines, name, labels, number)
  lines[#lines + 1] = ("%s%s %s"):format(name, labels == "" and "" or "{" .. labels .. "}", write(number))
end

local function histogram(lines, name, read)
  for _, bucket in ipairs(read.buckets) do
    sample(lines, name .. "_bucket", label("le", write(bucket.le)), bucket.count)
  end
  sample(lines, name .. "_sum", "", read.sum)
  sample(lines, name .. "_count", "", read.count)
end

--- Begins a text.
-- @treturn {string,...} lines
function exposition.new() return {} end

local function head(lines, name, kind, help)
  lines[#lines + 1] = ("# HELP %s %s"):format(name, help)
  lines[#lines + 1] = ("# TYPE %s %s"):format(name, kind)
end

--- Adds a metric of one number.
-- @tparam {string,...} lines
-- @tparam string name
-- @tparam string kind `counter` or `gauge`
-- @tparam string help without line ends and backslashes
-- @tparam number number
function exposition.add(lines, name, kind, help, number)
  head(lines, name, kind, help)
  sample(lines, name, "", number)
end

--- Adds a metric that has a number for each set of labels.
-- @tparam {string,...} lines
-- @tparam string name
-- @tparam string kind `counter` or `gauge`
-- @tparam string help
-- @tparam {table,...} list each `{ number, name, value, … }` with the names and values of its labels; no two alike
function exposition.add_labelled(lines, name, kind, help, list)
  head(lines, name, kind, help)
  for _, one in ipairs(list) do
    local labels = {}
    for i = 2, #one, 2 do labels[#labels + 1] = label(one[i], one[i + 1]) end
    sample(lines, name, table.concat(labels, ","), one[1])
  end
end

--- Adds a histogram.
-- @tparam {string,...} lines
-- @tparam string name
-- @tparam string help
-- @tparam table read what `histogram:read()` gives
function exposition.add_histogram(lines, name, help, read)
  head(lines, name, "histogram", help)
  histogram(lines, name, read)
end

--- Ends a text.
-- @tparam {string,...} lines
-- @treturn string
function exposition.text(lines)
  return table.concat(lines, "\n") .. "\n"
end

return exposition
