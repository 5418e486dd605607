--- Where the certificate authorities are that this system trusts.
-- @module websockets.transport.authorities
local authorities = {}

--- Files of certificate authorities, in the order in which they are looked for.
authorities.PLACES = {
  "/etc/ssl/certs/ca-certificates.crt", -- Debian, Ubuntu, Arch, Alpine, Gentoo
  "/etc/pki/tls/certs/ca-bundle.crt", -- Fedora, RHEL and what is made from them
  "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
  "/etc/ssl/ca-bundle.pem", -- openSUSE
  "/etc/ssl/cert.pem", -- macOS, OpenBSD, FreeBSD
  "/usr/local/share/certs/ca-root-nss.crt",
  "/usr/local/etc/ssl/cert.pem",
  "/etc/openssl/certs/ca-certificates.crt", -- NetBSD
}

local function given(variable)
  local value = os.getenv(variable)
  return value ~= "" and value or nil
end

local function why_unreadable(path)
  local file, why = io.open(path, "rb")
  if not file then return why end
  local bytes
  bytes, why = file:read(1)
  file:close()
  return not bytes and (why and path .. ": " .. why or path .. ": it is empty") or nil
end

-- Those of a list that are there; nil and why, where none is.
local function folders_of(list)
  local found, reason = {}, "no folder"
  for path in list:gmatch("[^:]+") do
    local folder, why = io.open(path, "rb")
    if folder then
      folder:close()
      found[#found + 1] = path
    else
      reason = why
    end
  end
  if found[1] then return table.concat(found, ":") end
  return nil, reason
end

-- The environment takes the place of the system's own authorities: all that it names, and nothing else.
local function of_environment(file, folders)
  local why = file and why_unreadable(file)
  if why then return nil, ("no certificate authorities: SSL_CERT_FILE cannot be read: %s"):format(why) end
  local capath
  if folders then
    capath, why = folders_of(folders)
    if not capath then return nil, ("no certificate authorities: SSL_CERT_DIR cannot be opened: %s"):format(why) end
  end
  return { cafile = file, capath = capath }
end

--- Finds the certificate authorities: those that the environment names by SSL_CERT_FILE and SSL_CERT_DIR, else those of
-- the system.
-- @tparam[opt=authorities.PLACES] {string,...} places
-- @treturn[1] table `cafile` (path), `capath` (folders, `:` between them); at least one of them
-- @treturn[2] nil
-- @treturn[2] string what was looked for and not found
function authorities.find(places)
  local file, folders = given("SSL_CERT_FILE"), given("SSL_CERT_DIR")
  if file or folders then return of_environment(file, folders) end
  places = places or authorities.PLACES
  for _, path in ipairs(places) do
    if not why_unreadable(path) then return { cafile = path } end
  end
  return nil, ("no certificate authorities were found; looked for SSL_CERT_FILE, SSL_CERT_DIR, %s. Name yours by "
    .. "tls = { cafile = path }"):format(table.concat(places, ", "))
end

return authorities
