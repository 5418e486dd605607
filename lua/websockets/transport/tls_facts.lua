--- What can be told of a TLS connection: how it is encrypted, and the certificate of the peer.
-- @module websockets.transport.tls_facts
local calendar = require("websockets.calendar")
local certificate = require("websockets.transport.certificate")

local tls_facts = {}

local floor = math.floor

-- RFC 4514 3; of an attribute without a short name the long one stands.
local SHORT_NAMES = {
  commonName = "CN", localityName = "L", stateOrProvinceName = "ST", organizationName = "O",
  organizationalUnitName = "OU", countryName = "C", streetAddress = "STREET", domainComponent = "DC", userId = "UID",
}

-- A peer wrote these: a value must not look like a further attribute.
local function escape(value)
  value = value:gsub('[,+"\\<>;=]', "\\%0"):gsub("[%c\127]", function(char) return ("\\%02X"):format(char:byte()) end)
  return (value:gsub("^[ #]", "\\%0"))
end

-- RFC 4514: `CN=a, O=b`, in the order of the certificate.
local function describe_name(parts)
  local made = {}
  for i, part in ipairs(parts) do
    made[i] = (SHORT_NAMES[part.name] or part.name or part.oid) .. "=" .. escape(part.value or "")
  end
  return table.concat(made, ", ")
end

-- Seconds since 1970 of "Nov  6 11:05:18 2026 GMT".
local function read_date(text)
  local name, day, hour, minute, second, year = text:match("^(%a+)%s+(%d+) (%d+):(%d+):(%d+) (%d+) GMT$")
  local month = calendar.MONTHS[name]
  return month and floor(calendar.seconds(tonumber(year), month, day, hour, minute, second))
end

local function describe_certificate(x509)
  -- Else names with other letters than those of ASCII have an unknown encoding.
  if x509.setencode then x509:setencode("utf8") end
  local found, names = certificate.names(x509), {}
  for _, name in ipairs(found.dns) do names[#names + 1] = name end
  for _, ip in ipairs(found.ip) do names[#names + 1] = ip end
  return {
    subject = describe_name(x509:subject()), issuer = describe_name(x509:issuer()), names = names,
    fingerprint = x509:digest("sha256"), not_before = read_date(x509:notbefore()),
    not_after = read_date(x509:notafter()), pem = x509:pem(),
  }
end

--- Tells about a connection whose TLS handshake is done, and which is not closed.
-- @tparam userdata object of LuaSec
-- @treturn table `protocol` ("TLSv1.3"), `cipher`, `bits` of its key; `server_name` and `alpn` where they were
-- negotiated; `certificate` of the peer where it showed one: `subject` and `issuer` as in RFC 4514, `names` (list of
-- DNS names and IP addresses), `fingerprint` (SHA-256, hexadecimal), `not_before` and `not_after` (seconds since 1970),
-- `pem`; `verified`: whether it showed one that an authority of ours has issued
function tls_facts.of(object)
  local info = object:info()
  local x509 = object:getpeercertificate()
  return {
    protocol = info.protocol, cipher = info.cipher, bits = info.bits and floor(info.bits),
    server_name = object:getsniname(), alpn = object:getalpn(),
    certificate = x509 and describe_certificate(x509) or nil,
    verified = x509 ~= nil and object:getpeerverification() == true,
  }
end

return tls_facts
