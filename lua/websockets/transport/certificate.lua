--- Whether a certificate is for a host: the names in a certificate against the one that was asked for.
-- @module websockets.transport.certificate
-- @rfc 9525 6
local luasocket = require("websockets.transport.luasocket")

local certificate = {}

local SUBJECT_ALT_NAME = "2.5.29.17"

-- An error with more of them would be too long to read.
local MOST_SHOWN_NAMES = 8

-- In the one form in which the system writes it, as LuaSec does with those in certificates.
local function canonical_ip(ip)
  local found = luasocket.library().dns.getaddrinfo(ip)
  return found and found[1] and found[1].addr
end

--- Gives the one wildcard that stands for a name: it is the whole leftmost label, and stands for exactly one label.
-- @rfc 9525 6.3
-- @tparam string name in lower case
-- @treturn ?string `*.example.com`; nil for a name of one label
function certificate.wildcard(name)
  local rest = name:match("^[^.]+(%..+)$")
  return rest and "*" .. rest
end

--- Tells whether a certificate is for a host. The common name counts for nothing.
-- @rfc 9525 6.3
-- @rfc 9525 6.4
-- @tparam table names of the certificate, as `certificate.names` gives them
-- @tparam string host as in a URL, an IPv6 address without its brackets
-- @tparam string kind of host: "name", "ipv4", "ipv6"
-- @treturn boolean
function certificate.is_for(names, host, kind)
  if kind == "name" then
    local name = host:lower():gsub("%.$", "")
    local wildcard = certificate.wildcard(name)
    for _, pattern in ipairs(names.dns) do
      -- A zero in it, where a program in C would take it to end, makes it another string.
      local lower = pattern:lower()
      if lower == name or lower == wildcard then return true end
    end
    return false
  end
  local wanted = canonical_ip(host)
  for _, ip in ipairs(names.ip) do
    if ip == wanted then return true end
  end
  return false
end

--- Lists the names in a certificate.
-- @tparam userdata x509 certificate, a LuaSec object
-- @treturn table `dns`, `ip`: lists of the subjectAltName, empty where there is none
function certificate.names(x509)
  local found = x509:extensions()
  found = found and found[SUBJECT_ALT_NAME] or {}
  return { dns = found.dNSName or {}, ip = found.iPAddress or {} }
end

--- Describes the names in a certificate, for an error.
-- @tparam table names as `certificate.names` gives them
-- @treturn string `DNS:localhost, IP:127.0.0.1`
function certificate.describe(names)
  local all = {}
  for _, name in ipairs(names.dns) do all[#all + 1] = "DNS:" .. name end
  for _, ip in ipairs(names.ip) do all[#all + 1] = "IP:" .. ip end
  if #all == 0 then return "no names" end
  local shown = table.concat(all, ", ", 1, math.min(#all, MOST_SHOWN_NAMES))
  if #all > MOST_SHOWN_NAMES then shown = ("%s and %d more"):format(shown, #all - MOST_SHOWN_NAMES) end
  -- A peer wrote them: nothing in them may look like a line of a log.
  return (shown:gsub("[%c\127-\255]", "?"))
end

return certificate
