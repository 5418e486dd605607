--- The dashboard for Grafana names metrics that are there, and leaves out none.
-- @module spec.packaging.dashboard_spec
local bus = require("spec.support.bus")
local file = require("spec.support.file")
local json = require("spec.support.json")
local prometheus = require("websockets.prometheus")
local reader = require("spec.support.exposition")
local server = require("spec.support.server")

local PATH = "examples/grafana/websockets.json"
-- Only where the back plane is Redis.
local SOMETIMES = { websockets_backplane_up = "gauge" }

local function dashboard()
  local text = file.read(PATH)
  return json.read(text), text
end

local function each_expression(made, use)
  for _, panel in ipairs(made.panels) do
    for _, target in ipairs(panel.targets) do use(target.expr, panel) end
  end
end

describe("the dashboard", function()
  local families

  before_each(function()
    local s = server.start({ backplane = bus.new():plane(), default = function() end })
    families = reader.read(prometheus.text(s.context))
    server.stop_all()
  end)

  local function kind_of(name)
    if SOMETIMES[name] then return SOMETIMES[name] end
    local family = families[name] or families[name:gsub("_bucket$", ""):gsub("_sum$", ""):gsub("_count$", "")]
    return family and (family.name == name and family.kind or family.kind == "histogram" and "counter")
  end

  it("names metrics that are there, counters by their rates", function()
    local count = 0
    each_expression(dashboard(), function(expression)
      for before, name in expression:gmatch("([%w_]*%(?)(websockets_[%w_]+)") do
        count = count + 1
        local kind = kind_of(name)
        assert.is_truthy(kind, name .. " is no metric")
        local is_rate = before == "rate(" or before == "increase("
        assert.equal(kind == "counter", is_rate, expression)
      end
    end)
    assert.is_true(count > 30)
  end)

  it("shows every metric", function()
    local _, text = dashboard()
    for name in pairs(families) do assert.is_truthy(text:find(name, 1, true), name .. " is not shown") end
  end)

  it("has panels that can be told apart and lie beside each other", function()
    local made = dashboard()
    local seen, places = {}, {}
    for _, panel in ipairs(made.panels) do
      assert.is_nil(seen[panel.id])
      assert.is_nil(seen[panel.title])
      seen[panel.id], seen[panel.title] = true, true
      local place = panel.gridPos
      assert.is_true(place.x + place.w <= 24)
      local key = place.x .. "," .. place.y
      assert.is_nil(places[key])
      places[key] = true
    end
  end)

  it("asks with brackets that are closed, for the job and the instance that are chosen", function()
    each_expression(dashboard(), function(expression)
      assert.equal("", (expression:gsub("%b()", ""):gsub("[^()]", "")), expression)
      local names = select(2, expression:gsub("websockets_[%w_]+", ""))
      local chosen = select(2, expression:gsub('{job=~"%$job",instance=~"%$instance"', ""))
      assert.equal(names, chosen, expression)
    end)
  end)
end)
