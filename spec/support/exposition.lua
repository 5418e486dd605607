--- A strict reader of Prometheus' text format: it finds what promtool passes over, too.
-- @module spec.support.exposition
local exposition = {}

local KINDS = { counter = true, gauge = true, histogram = true }
local PARTS = { _bucket = true, _sum = true, _count = true }

local function fail(line, what) error(("%s: %s"):format(what, line), 0) end

local function number_of(line, text)
  if text == "+Inf" then return math.huge end
  if not text:match("^%-?%d") then fail(line, "no number") end
  return tonumber(text) or fail(line, "no number")
end

local function labels_of(line, text)
  local labels, at = {}, 1
  while at <= #text do
    local name, value, after = text:match('^([%a_][%w_]*)="([^"\\]*)"()', at)
    if not name then
      name, value, after = text:match('^([%a_][%w_]*)="(.-[^\\])"()', at)
    end
    if not name then fail(line, "no label") end
    if labels[name] then fail(line, "a label twice") end
    labels[name], at = value, after
    if at <= #text and text:sub(at, at) ~= "," then fail(line, "no comma") end
    at = at + 1
  end
  return labels
end

-- The name of the family that a sample belongs to.
local function family_of(family, name)
  if name == family.name and family.kind ~= "histogram" then return true end
  return family.kind == "histogram" and name:sub(1, #family.name) == family.name and PARTS[name:sub(#family.name + 1)]
end

local function take_sample(family, seen, line)
  local name, rest = line:match("^([%a_:][%w_:]*)(.*)$")
  if not name then fail(line, "no sample") end
  local inside, text = rest:match("^{(.*)} (%S+)$")
  if not inside then inside, text = "", rest:match("^ (%S+)$") end
  if not text then fail(line, "no sample") end
  if not family or not family_of(family, name) then fail(line, "not below its own HELP and TYPE") end
  local key = name .. "{" .. inside .. "}"
  if seen[key] then fail(line, "twice") end
  seen[key] = true
  family.samples[#family.samples + 1] = {
    name = name, labels = labels_of(line, inside), value = number_of(line, text),
  }
end

local function check_histogram(family)
  local last, before, count, sum, most = -1, -math.huge, nil, nil, nil
  for _, sample in ipairs(family.samples) do
    local part = sample.name:sub(#family.name + 1)
    if part == "_bucket" then
      local le = number_of(family.name, sample.labels.le)
      if le <= before then fail(family.name, "bounds that do not rise") end
      if sample.value < last then fail(family.name, "buckets that fall") end
      before, last = le, sample.value
      if le == math.huge then most = sample.value end
    elseif part == "_count" then
      count = sample.value
    else
      sum = sample.value
    end
  end
  if not most then fail(family.name, "no bucket +Inf") end
  if count ~= most then fail(family.name, "a count that is not the last bucket") end
  if not sum then fail(family.name, "no sum") end
end

local function check(family)
  if not family then return end
  if not family.kind then fail(family.name, "no TYPE") end
  if family.kind == "histogram" then check_histogram(family) end
  if (family.kind == "counter") ~= (family.name:match("_total$") ~= nil) then fail(family.name, "the ending _total") end
  for _, sample in ipairs(family.samples) do
    if family.kind ~= "gauge" and sample.value < 0 then fail(sample.name, "a count below 0") end
  end
end

--- Reads a text.
-- @tparam string text
-- @treturn table name -> `kind`, `help`, `samples`: each `name`, `labels`, `value`
-- @raise naming what is wrong
function exposition.read(text)
  if text:sub(-1) ~= "\n" then fail("the text", "no line end at its end") end
  if text:find("\r", 1, true) then fail("the text", "CR") end
  local families, family, seen = {}, nil, {}
  for line in text:gmatch("([^\n]*)\n") do
    local name, help = line:match("^# HELP (%S+) (.+)$")
    local typed, kind = line:match("^# TYPE (%S+) (%S+)$")
    if name then
      check(family)
      if families[name] then fail(line, "a metric in two groups") end
      family = { name = name, help = help, samples = {} }
      families[name] = family
    elseif typed then
      if not family or family.name ~= typed or family.kind then fail(line, "no HELP before it") end
      family.kind = KINDS[kind] and kind or fail(line, "no type")
    else
      take_sample(family, seen, line)
    end
  end
  check(family)
  return families
end

--- Finds the value of a sample.
-- @tparam table families
-- @tparam string name
-- @tparam[opt] table labels
-- @treturn ?number nil where there is none
function exposition.value(families, name, labels)
  for _, sample in ipairs(families[name].samples) do
    local is_it = true
    for key, value in pairs(labels or {}) do is_it = is_it and sample.labels[key] == value end
    if is_it then return sample.value end
  end
end

return exposition
