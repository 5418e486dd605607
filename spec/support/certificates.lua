--- Certificates for specs of TLS, good and bad ones, made by the openssl program into a temporary folder: once a run,
-- removed at its end.
-- @module spec.support.certificates
--
-- `N.pem` has certificate N, `N.key` its private key:
--
-- `ca` a certificate authority, `other_ca` another, `forged_ca` one with the name of `ca` and another key;
-- `good` for localhost, one.test, 127.0.0.1 and ::1; `renewed` the same with another key; `second` for second.test;
-- `wildcard` for *.localhost and *.test; `wrong_host` for elsewhere.test; `ip_as_name` with 127.0.0.1 as a DNS name;
-- `cn_only` with localhost as the common name alone; `nul` for localhost, a NUL byte and more;
-- `expired` since 2021, `early` until 2099, `revoked` (`ca_crl.pem` has ca and the list that revokes it);
-- `self_signed`, `unknown` from other_ca, `forged` from forged_ca;
-- `chained` from an intermediate authority that its file contains, `unchained` the same without it; `stale` from one
-- that has expired; `rooted` is unknown with other_ca in its file;
-- `client`, `client_other` from other_ca, `client_only` with the purpose clientAuth alone, `server_only` with the
-- purpose serverAuth alone. `locked.key` is the key of good, encrypted with the password "secret". `none.pem` is no
-- certificate.

local child = require "spec.support.child"
local file = require "spec.support.file"

local certificates = {}

local SCRIPT = [[
set -e
cd %s
EC="-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
PLAIN="basicConstraints=CA:false"
GOOD="subjectAltName=DNS:localhost,DNS:one.test,IP:127.0.0.1,IP:::1"

authority() { # name, common name
  openssl req -x509 $EC -keyout $1.key -out $1.pem -days 9 -subj "/CN=$2" -addext keyUsage=keyCertSign,cRLSign
}
from() { # authority, name, extensions
  authority=$1 name=$2
  shift 2
  set -- "$@"
  extensions=
  for one; do extensions="$extensions -addext $one"; done
  openssl req -x509 -CA $authority.pem -CAkey $authority.key $EC -keyout $name.key -out $name.pem -days 9 \
    -subj "/CN=$COMMON" -addext $PLAIN $extensions
}
dated() { # name, begin, end
  openssl req $EC -keyout $1.key -out $1.csr -subj "/CN=$1"
  openssl ca -batch -config ca.cnf -cert ca.pem -keyfile ca.key -in $1.csr -out $1.pem -notext -startdate $2 \
    -enddate $3 -extensions ${4:-extensions}
}

COMMON=websockets
authority ca "websockets test authority"
authority other_ca "another authority"
authority forged_ca "websockets test authority"
from ca good $GOOD
from ca renewed $GOOD
from ca second subjectAltName=DNS:second.test
from ca wildcard 'subjectAltName=DNS:*.localhost,DNS:*.test'
from ca wrong_host subjectAltName=DNS:elsewhere.test,IP:192.0.2.1
from ca ip_as_name subjectAltName=DNS:127.0.0.1
COMMON=localhost
from ca cn_only
COMMON=websockets
from ca nul subjectAltName=DER:30:10:82:0E:6C:6F:63:61:6C:68:6F:73:74:00:2E:6F:72:67
openssl req -x509 $EC -keyout self_signed.key -out self_signed.pem -days 9 -subj /CN=websockets -addext $PLAIN \
  -addext $GOOD
from other_ca unknown $GOOD
from forged_ca forged $GOOD
from ca client
from other_ca client_other
from ca client_only $GOOD extendedKeyUsage=clientAuth
from ca server_only $GOOD extendedKeyUsage=serverAuth

openssl req -x509 -CA ca.pem -CAkey ca.key $EC -keyout between.key -out between.pem -days 9 -subj "/CN=between" \
  -addext keyUsage=keyCertSign
from between unchained $GOOD
cp unchained.key chained.key
cat unchained.pem between.pem > chained.pem

cat > ca.cnf <<END
[ca]
default_ca = one
[one]
database = index.txt
new_certs_dir = issued
rand_serial = yes
default_md = sha256
default_crl_days = 9
policy = any
x509_extensions = extensions
[any]
commonName = supplied
[extensions]
basicConstraints = CA:false
$(echo $GOOD | sed 's/=/ = /')
[authority]
basicConstraints = critical,CA:true
keyUsage = keyCertSign
END
: > index.txt
mkdir issued
dated expired 20200101000000Z 20210101000000Z
dated old_between 20200101000000Z 20210101000000Z authority
from old_between stale $GOOD
cat old_between.pem >> stale.pem
cat unknown.pem other_ca.pem > rooted.pem
cp unknown.key rooted.key
dated early 20990101000000Z 21000101000000Z
dated revoked 20200101000000Z 20990101000000Z
openssl ca -config ca.cnf -cert ca.pem -keyfile ca.key -revoke revoked.pem
openssl ca -config ca.cnf -cert ca.pem -keyfile ca.key -gencrl -out ca.crl
cat ca.pem ca.crl > ca_crl.pem

openssl ec -in good.key -out locked.key -aes128 -passout pass:secret
echo "no certificate" > none.pem
]]

local folder

--- Removes the folder. At the end of a run of busted this is done without being asked for.
function certificates.remove()
  if folder then child.remove_folder(folder) end
  folder = nil
end

-- The end of the run, as busted tells it: a Lua may leave without closing its state.
local function remove_at_end()
  if not package.loaded.busted then return end
  require("busted").subscribe({ "exit" }, function()
    certificates.remove()
    return nil, true
  end)
end

--- Gives the folder; makes it where that has not been done in this run.
-- @treturn string path without a slash at its end
function certificates.folder()
  if folder then return folder end
  local path = child.make_folder()
  local text, code = child.run("sh -c " .. child.quote(SCRIPT:format(child.quote(path))))
  if code ~= 0 then
    child.remove_folder(path)
    error("openssl made no certificates:\n" .. text, 2)
  end
  folder = path
  remove_at_end()
  return folder
end

--- Names a file of the folder.
-- @tparam string name `good.pem`
-- @treturn string its path
function certificates.path(name)
  return certificates.folder() .. "/" .. name
end

--- Reads a file of the folder.
-- @tparam string name
-- @treturn string
function certificates.read(name)
  return file.read(certificates.path(name))
end

--- Names certificate and key as LuaSec's options do.
-- @tparam string name `good`
-- @tparam[opt] table also further fields
-- @treturn table `certificate`, `key`
function certificates.pair(name, also)
  local made = { certificate = certificates.path(name .. ".pem"), key = certificates.path(name .. ".key") }
  for field, value in pairs(also or {}) do made[field] = value end
  return made
end

return certificates
