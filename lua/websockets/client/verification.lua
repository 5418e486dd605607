--- The judgement of a server's certificate: LuaSec has verified its chain, and compares no names.
-- @module websockets.client.verification
local certificate = require("websockets.transport.certificate")

local verification = {}

local MOST_SHOWN_BYTES = 60

-- The server has written it: in a message it is one short line.
local function quote(text)
  text = text:gsub("[%c\127-\255\"]", "?")
  if #text > MOST_SHOWN_BYTES then text = text:sub(1, MOST_SHOWN_BYTES) .. "..." end
  return '"' .. text .. '"'
end

-- The common name in the name of a subject or issuer, or another part of it.
local function shown(entries)
  local chosen
  for _, entry in ipairs(entries or {}) do
    if not chosen or entry.name == "commonName" then chosen = entry.value end
  end
  return chosen and quote(chosen) or "(no name)"
end

-- The chain that the server sent ends here without reaching an authority.
local function unknown_authority(x509, depth)
  local issuer = shown(x509:issuer())
  if depth > 0 then return ("unknown authority: its chain leads to %s, which is not trusted here"):format(issuer) end
  return ("unknown authority or missing intermediate: it was issued by %s, which is not trusted here, and the server "
    .. "sent no certificate for that"):format(issuer)
end

local function unknown_root(x509)
  return ("unknown authority: its chain ends with %s, which is not trusted here"):format(shown(x509:subject()))
end

-- The certificate itself, or one of the authorities between it and ours.
local function subject(x509, depth)
  return depth == 0 and "it" or ("its authority %s"):format(shown(x509:subject()))
end

local function expired(x509, depth)
  return ("%s expired on %s"):format(subject(x509, depth), tostring(x509:notafter()))
end

local function early(x509, depth)
  return ("%s is not valid before %s"):format(subject(x509, depth), tostring(x509:notbefore()))
end

local function revoked(x509, depth)
  return subject(x509, depth) .. " has been revoked"
end

local function wrong_purpose(x509, depth)
  return subject(x509, depth) .. " is not meant for servers (wrong purpose)"
end

local function self_signed()
  return "it is self-signed, and not trusted here"
end

-- What OpenSSL says of a certificate of the chain, and how that reads. Where there are several the first counts.
local FAULTS = {
  { "certificate revoked", revoked },
  { "certificate has expired", expired },
  { "certificate is not yet valid", early },
  { "unsuitable certificate purpose", wrong_purpose },
  { "unsupported certificate purpose", wrong_purpose },
  { "self-signed certificate", self_signed },
  { "self-signed certificate in certificate chain", unknown_root },
  { "unable to get local issuer certificate", unknown_authority },
  { "unable to get issuer certificate", unknown_authority },
}

-- OpenSSL 1.1 writes "self signed".
local function is_there(texts, wanted)
  for _, text in ipairs(texts) do
    if text:gsub("self signed", "self-signed") == wanted then return true end
  end
  return false
end

local function describe(connection, depth, texts)
  local x509 = connection:getpeercertificate(depth + 1)
  for _, fault in ipairs(FAULTS) do
    if x509 and is_there(texts, fault[1]) then return fault[2](x509, depth) end
  end
  return table.concat(texts, "; ")
end

-- `errors`: position in the chain + 1 -> list of texts, or one text for the whole.
local function explain(connection, errors)
  if type(errors) ~= "table" then return tostring(errors) end
  local first
  for position in pairs(errors) do
    if not first or position < first then first = position end
  end
  return first and describe(connection, first - 1, errors[first]) or "it could not be verified"
end

--- Judges the certificate of a server, after the TLS handshake.
-- @rfc 9525 6
-- @tparam userdata connection LuaSec object
-- @tparam string host that was asked for
-- @tparam string kind of host: "name", "ipv4", "ipv6"
-- @treturn[1] boolean true
-- @treturn[2] nil
-- @treturn[2] string `certificate`
-- @treturn[2] string message that says why
function verification.judge(connection, host, kind)
  local x509 = connection:getpeercertificate()
  local is_verified, errors = connection:getpeerverification()
  local why
  if not x509 then
    why = "it sent none"
  elseif is_verified ~= true then
    why = explain(connection, errors)
  else
    local names = certificate.names(x509)
    if certificate.is_for(names, host, kind) then return true end
    why = ("wrong host: it is for %s"):format(certificate.describe(names))
  end
  return nil, "certificate", ("the certificate of %s was refused: %s"):format(host, why)
end

require("websockets.loading").interpret(explain)

return verification
