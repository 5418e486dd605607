--- The header of the PROXY protocol.
-- @module spec.unit.protocol.proxy_header_spec

local proxy_header = require "websockets.protocol.proxy_header"

local SIGNATURE = "\r\n\r\n\0\r\nQUIT\n"

local function version_2(command, kind, body, size)
  size = size or #body
  return SIGNATURE .. string.char(command, kind, math.floor(size / 256), size % 256) .. body
end

local IPV4 = "\198\51\100\1\127\0\0\1\17\92\0\80"
local IPV6 = "\32\1\13\184" .. ("\0"):rep(11) .. "\1" .. ("\0"):rep(15) .. "\1\17\92\0\80"
local UNIX = "/run/socket" .. ("\0"):rep(205)
local TLV = "\4\0\3abc"

-- Header -> the address in it, false for that of the peer.
local GOOD = {
  ["PROXY TCP4 198.51.100.1 127.0.0.1 4711 80\r\n"] = "198.51.100.1",
  ["PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n"] = "255.255.255.255",
  ["PROXY TCP4 198.51.100.1 127.0.0.1 0 0\r\n"] = "198.51.100.1",
  ["PROXY TCP6 2001:DB8::1 ::1 4711 80\r\n"] = "2001:db8::1",
  ["PROXY TCP6 ::ffff:198.51.100.1 ::1 4711 80\r\n"] = "198.51.100.1",
  ["PROXY TCP6 " .. ("ffff:"):rep(7) .. "ffff " .. ("ffff:"):rep(7) .. "ffff 65535 65535\r\n"] =
    ("ffff:"):rep(7) .. "ffff",
  ["PROXY UNKNOWN\r\n"] = false,
  ["PROXY UNKNOWN " .. ("x"):rep(91) .. "\r\n"] = false,
  [version_2(0x21, 0x11, IPV4)] = "198.51.100.1",
  [version_2(0x21, 0x11, IPV4 .. TLV .. TLV)] = "198.51.100.1",
  [version_2(0x21, 0x11, IPV4 .. ("x"):rep(4096 - 28))] = "198.51.100.1",
  [version_2(0x21, 0x21, IPV6)] = "2001:db8::1",
  [version_2(0x21, 0x21, IPV6 .. TLV)] = "2001:db8::1",
  [version_2(0x21, 0x31, UNIX)] = "unix",
  [version_2(0x21, 0x00, "")] = false,
  [version_2(0x21, 0x00, TLV)] = false,
  [version_2(0x20, 0x00, "")] = false,
  [version_2(0x20, 0x11, IPV4)] = false,
  [version_2(0x20, 0x77, "anything")] = false,
}

local BAD = {
  "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "\22\3\1\2\0\1", "proxy TCP4 1.2.3.4 1.2.3.4 1 1\r\n", "PROXYTCP4",
  "PROXY TCP4 1.2.3.4 1.2.3.4 1 1 \r\n", "PROXY  TCP4 1.2.3.4 1.2.3.4 1 1\r\n", "PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n",
  "PROXY TCP4 1.2.3.4  1.2.3.4 1 1\r\n", "PROXY TCP4 ::1 ::1 1 1\r\n", "PROXY TCP6 1.2.3.4 1.2.3.4 1 1\r\n",
  "PROXY TCP4 1.2.3.256 1.2.3.4 1 1\r\n", "PROXY TCP4 1.2.3.4 1.2.3.4 65536 1\r\n",
  "PROXY UDP4 1.2.3.4 1.2.3.4 1 1\r\n",
  "PROXY TCP4 1.2.3.4 1.2.3.4 01 1\r\n", "PROXY TCP4 1.2.3.4 1.2.3.4 -1 1\r\n", "PROXY TCP4 a 1.2.3.4 1 1\r\n",
  "PROXY TCP4 1.2.3.4 1.2.3.4 1 1\n\r\n", "PROXY UNKNOWNS\r\n", "PROXY \r\n       ", "PROXY TCP4\r\n     ",
  "PROXY UNKNOWN " .. ("x"):rep(92) .. "\r\n", "PROXY UNKNOWN " .. ("x"):rep(93), "PROXY " .. ("\r"):rep(101),
  "\r\n\r\n\0\r\nQUIT\r", "\r\n\r\n\r\n", version_2(0x11, 0x11, IPV4), version_2(0x22, 0x11, IPV4),
  version_2(0x31, 0x11, IPV4), version_2(0x21, 0x12, IPV4), version_2(0x21, 0x41, IPV4), version_2(0x21, 0x10, IPV4),
  version_2(0x21, 0x01, IPV4), version_2(0x21, 0x11, IPV4:sub(1, 11)), version_2(0x21, 0x21, IPV6:sub(1, 35)),
  version_2(0x21, 0x31, UNIX:sub(1, 215)), version_2(0x21, 0x11, "", 0), version_2(0x21, 0x11, "", 4096 - 15),
  version_2(0x20, 0x00, "", 65535),
}

describe("proxy_header.read", function()
  for header, ip in pairs(GOOD) do
    it(("reads %q, cut at each byte, and nothing after it"):format(header:sub(1, 40)), function()
      for stop = 0, #header - 1 do
        local after, missing = proxy_header.read(header:sub(1, stop))
        assert.is_nil(after)
        assert.is_true(missing >= 1 and missing <= #header - stop, stop)
      end
      for _, rest in ipairs({ "", "\r", "\r\n", "GET", "PROXY " }) do
        local after, found = proxy_header.read(header .. rest)
        assert.same({ #header + 1, ip or nil }, { after, found })
      end
    end)
  end

  for _, text in ipairs(BAD) do
    it(("refuses %q, and never asks for a byte more than a right header may have"):format(text:sub(1, 40)), function()
      local refused
      for stop = 0, #text do
        local after, why = proxy_header.read(text:sub(1, stop))
        if after == false then
          assert.is_string(why)
          refused = true
          break
        end
        assert.is_nil(after)
        assert.is_true(why <= 4096)
      end
      assert.is_true(refused)
      assert.is_false((proxy_header.read(text)))
    end)
  end
end)
