--- Changes to bytes that were right, and pieces to send them in: all of it follows from a seed.
-- @module fuzz.live.mutate

local mutate = {}

local char = string.char

local TOKENS = {
  "\r\n", "\r\n\r\n", "\n", "\0", " ", "\t", ",", ";", ":", "\"", "%00", "..", "\255\255\255\255", "\127\255", "\128",
  "Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n", "Connection: close\r\n", "Upgrade: websocket\r\n",
  "Expect: 100-continue\r\n", "Sec-WebSocket-Version: 13\r\n", "Sec-WebSocket-Extensions: permessage-deflate\r\n",
  "\137\128\1\2\3\4", "\136\128\1\2\3\4", "\129\254\0\126", "\130\255\0\0\0\0\0\1\0\0", "\130\255\127\255\255\255",
  "\0\0\255\255", "\3\0", "99999999999999999999", "HTTP/1.1", "HTTP/1.0",
}

-- A range of bytes, most often a short one.
local function range(random, size)
  local first = random(size + 1)
  return first, math.min(size, first + random(random(2) == 1 and 8 or 200) - 2)
end

local changes = {
  function(random, bytes)
    local at = random(#bytes)
    local bit = 2 ^ (random(8) - 1)
    local old = bytes:byte(at)
    local new = math.floor(old / bit) % 2 == 0 and old + bit or old - bit
    return bytes:sub(1, at - 1) .. char(new) .. bytes:sub(at + 1)
  end,
  function(random, bytes)
    local at = random(#bytes)
    return bytes:sub(1, at - 1) .. char(random(256) - 1) .. bytes:sub(at + 1)
  end,
  function(random, bytes)
    local first, last = range(random, #bytes)
    return bytes:sub(1, first - 1) .. bytes:sub(last + 1)
  end,
  function(random, bytes)
    local first, last = range(random, #bytes)
    return bytes:sub(1, last) .. bytes:sub(first, last):rep(random(4)) .. bytes:sub(last + 1)
  end,
  function(random, bytes)
    local at = random(#bytes + 1)
    return bytes:sub(1, at - 1) .. TOKENS[random(#TOKENS)] .. bytes:sub(at)
  end,
  function(random, bytes)
    local at = random(#bytes + 1)
    return bytes:sub(1, at - 1) .. char(random(256) - 1):rep(random(300)) .. bytes:sub(at)
  end,
  -- A part of another place.
  function(random, bytes)
    local first, last = range(random, #bytes)
    local at = random(#bytes + 1)
    return bytes:sub(1, at - 1) .. bytes:sub(first, last) .. bytes:sub(at)
  end,
}

--- Change bytes at a few places.
-- @tparam function random of `spec.support.engine`
-- @tparam string bytes
-- @treturn string
function mutate.change(random, bytes)
  for _ = 1, random(4) do
    if bytes == "" then return TOKENS[random(#TOKENS)] end
    bytes = changes[random(#changes)](random, bytes)
  end
  return bytes
end

--- Cut bytes into pieces; in one case of two the end is left out.
-- @tparam function random
-- @tparam string bytes
-- @treturn {string,...}
function mutate.pieces(random, bytes)
  if random(2) == 1 then bytes = bytes:sub(1, random(#bytes + 1) - 1) end
  local list, from = {}, 1
  local most = ({ 1, 5, 60, 1500, 100000 })[random(5)]
  -- Not thousands of pieces: a batch must end.
  most = math.max(most, math.ceil(#bytes / 60))
  while from <= #bytes do
    local last = from + random(most) - 1
    list[#list + 1] = bytes:sub(from, last)
    from = last + 1
  end
  return list
end

--- Random numbers of one batch of a run.
-- @tparam integer seed
-- @tparam integer batch
-- @treturn function
function mutate.random(seed, batch)
  local made = require("spec.support.engine").random((seed * 7919 + batch * 104729) % 2147483646 + 1)
  -- The first numbers of near seeds are near each other.
  for _ = 1, 3 do made(10) end
  return made
end

--- The seeds of a target, without the bytes that are choices.
-- @tparam string name
-- @tparam integer skip how many bytes
-- @treturn {string,...}
function mutate.seeds(name, skip)
  local list = {}
  local pipe = assert(io.popen("find fuzz/seeds/" .. name .. " -type f | LC_ALL=C sort"))
  for path in pipe:lines() do
    local file = assert(io.open(path, "rb"))
    list[#list + 1] = file:read("*a"):sub(skip + 1)
    file:close()
  end
  pipe:close()
  return list
end

return mutate
