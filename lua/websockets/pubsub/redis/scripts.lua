--- What Redis does in one step for the history of a topic: scripts in Lua that run there.
--
-- A topic has two keys: a stream of its entries, and a hash that has `last`, the id of the last entry, and for each
-- publisher the number of its last message and the id of that.
-- @module websockets.pubsub.redis.scripts
local scripts = {}

--- Keeps a message and publishes it. What was kept before is told again: a message whose answer was lost is sent again.
--
-- Arguments: the publisher, the number of the message, its head, its data, how many are kept, milliseconds they are
-- kept, milliseconds the hash is, the channel, PUBLISH or SPUBLISH. Answers `{ id }`.
--
-- Ids come after those before, also where the clock of the server was set back. Publishers that have not been heard of
-- for a day go, once there are many.
scripts.PUBLISH = [[
local k, m = KEYS[1], KEYS[2]
local r = redis.call
local seen = r('HGET', m, ARGV[1])
if seen then
  local n, id = seen:match('^(%d+) (.*)$')
  if tonumber(n) >= tonumber(ARGV[2]) then return { id } end
end
local last = r('HGET', m, 'last') or ''
local function add(id)
  return r('XADD', k, 'MAXLEN', ARGV[5], id, 'p', last, 'o', ARGV[1], 'n', ARGV[2], 'h', ARGV[3],
    'd', ARGV[4])
end
local id = add('*')
local t, s = id:match('^(%d+)-(%d+)$')
if last ~= '' then
  local lt, ls = last:match('^(%d+)-(%d+)$')
  if tonumber(t) < tonumber(lt) or t == lt and tonumber(s) <= tonumber(ls) then
    r('DEL', k)
    id = add(lt .. '-' .. ('%.0f'):format(ls + 1))
  end
end
r('XTRIM', k, 'MINID', ('%.0f'):format(math.max(0, t - ARGV[6])))
r('HSET', m, 'last', id, ARGV[1], ARGV[2] .. ' ' .. id)
if not seen and r('HLEN', m) > 200 then
  local all = r('HGETALL', m)
  for i = 1, #all, 2 do
    local at = all[i + 1]:match('^%d+ (%d+)-')
    if at and tonumber(at) < t - 86400000 then r('HDEL', m, all[i]) end
  end
end
r('PEXPIRE', k, ARGV[6])
r('PEXPIRE', m, ARGV[7])
r(ARGV[9], ARGV[8], ARGV[1] .. 'H' .. id .. ' ' .. last .. ' ' .. ARGV[2] .. ' ' .. ARGV[3] .. ARGV[4])
return { id }
]]

--- Reads entries. Arguments: the id after which to begin, "" reads none, "-" all; how many bytes of data at most, and
-- how many entries are read also where they have more.
--
-- Answers `{ last, whether these are all, { id, prev, publisher, number, head, data, … } }`.
scripts.READ = [[
local k, m = KEYS[1], KEYS[2]
local last = redis.call('HGET', m, 'last') or ''
local out, size, from, done, full = {}, 0, ARGV[1], ARGV[1] == '', false
local limit, least, count = tonumber(ARGV[2]), 6 * ARGV[3], 4 + 12 * ARGV[3]
if from ~= '-' then from = '(' .. from end
while not done and not full do
  local page = redis.call('XRANGE', k, from, '+', 'COUNT', count)
  for _, e in ipairs(page) do
    local f, n = e[2], #out
    size = size + #f[10] + 128
    full = size > limit and n >= least
    if full then break end
    out[n + 1] = e[1]
    for i = 1, 5 do out[n + 1 + i] = f[2 * i] end
    from = '(' .. e[1]
  end
  done = #page < count and not full
end
return { last, done and 1 or 0, out }
]]

return scripts
