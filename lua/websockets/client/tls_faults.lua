--- Why a TLS handshake with a server failed, in words.
-- @module websockets.client.tls_faults
local tls_faults = {}

-- Alerts by which a server refuses the certificate of a client. They come after the handshake in TLS 1.3. RFC 8446 6.2
local REFUSES_CLIENT = {
  "bad certificate", "unsupported certificate", "certificate revoked", "certificate expired", "certificate unknown",
  "unknown ca", "access denied",
}

-- What a text of OpenSSL's means.
local MEANINGS = {
  { "wrong version number", "%s does not speak TLS" },
  { "certificate required", "%s wants a client certificate" },
  { "alert protocol version", "%s has no TLS version in common with us" },
  { "unsupported protocol", "%s has no TLS version in common with us" },
  { "unrecognized name", "%s does not know that host name" },
}

local function meaning(authority, text)
  for _, one in ipairs(MEANINGS) do
    if text:find(one[1], 1, true) then return one[2]:format(authority) end
  end
  for _, alert in ipairs(REFUSES_CLIENT) do
    if text:find("alert " .. alert, 1, true) then
      return ("%s refused the client certificate: %s"):format(authority, alert)
    end
  end
  return "the TLS handshake with " .. authority .. " failed"
end

--- Describes a failure.
-- @tparam table place of `websockets.protocol.url`
-- @tparam string why of `websockets.transport.luasec`, or `certificate`
-- @tparam ?string text that came with it: of OpenSSL, with `certificate` the whole message
-- @treturn string message
-- @treturn string code `certificate`, `tls`, `closed`
function tls_faults.describe(place, why, text)
  local authority = place.authority
  text = tostring(text)
  if why == "certificate" then return text, why end
  if text:find("certificate verify failed", 1, true) then
    return ("the certificate of %s was refused; with a client certificate of ours OpenSSL does not tell why")
      :format((place.virtual_host or place).host), "certificate"
  end
  if why == "tls" then return ("%s (%s)"):format(meaning(authority, text), text), why end
  return authority .. " ended the connection before the TLS handshake was done", why
end

return tls_faults
