--- nginx and HAProxy in front of a server, as docs/deployment.md has them; with other ports, files and times.
-- @module spec.support.front
local child = require("spec.support.child")
local file = require("spec.support.file")
local ports = require("spec.support.ports")
local socket = require("socket")

local front = {}
front.__index = front

local PAGE = "docs/deployment.md"
local LIMIT_SECONDS = 20
-- What every program of nginx has around its servers.
local NGINX = [[
daemon off;
pid %s/pid;
error_log %s/log;
events { worker_connections 1024; }
http {
access_log off;
client_body_temp_path %s/body;
proxy_temp_path %s/proxy;
fastcgi_temp_path %s/fastcgi;
uwsgi_temp_path %s/uwsgi;
scgi_temp_path %s/scgi;
%s
}
]]

local running = {}

-- The configuration of a language in the page, the first or the one that has some words.
local function read(language, words)
  for block in file.read(PAGE):gmatch("\n```" .. language .. "\n(.-)\n```") do
    if block:find(words, 1, true) then return block end
  end
  error(PAGE .. " has no configuration with " .. words)
end

-- Every word has to be there: else the page has changed.
local function replace(text, changes)
  for _, change in ipairs(changes) do
    local first, last = text:find(change[1], 1, true)
    assert(first, change[1])
    text = text:sub(1, first - 1) .. change[2] .. text:sub(last + 1)
  end
  return text
end

local function write(path, text)
  local handle = assert(io.open(path, "w"))
  handle:write(text)
  handle:close()
  return path
end

local function await_listening(port)
  local deadline = socket.gettime() + LIMIT_SECONDS
  repeat
    local connection = socket.connect("127.0.0.1", port)
    if connection then return connection:close() end
    socket.sleep(0.01)
  until socket.gettime() > deadline
  error("the proxy did not listen in time")
end

local function start(command, port, folder)
  local self = setmetatable({ program = child.start(command), port = port, folder = folder }, front)
  running[#running + 1] = self
  await_listening(port)
  return self
end

--- Starts nginx.
-- @tparam integer backend port of the server
-- @tparam table given `tls`: certificate and key, else plain; `seconds`: after which it cuts a silent connection
-- @treturn front with `port`
function front.nginx(backend, given)
  local folder, port = child.make_folder(), ports.closed()
  local changes = { { "127.0.0.1:8000", "127.0.0.1:" .. backend } }
  if given.tls then
    changes[#changes + 1] = { "listen 443 ssl", ("listen 127.0.0.1:%d ssl"):format(port) }
    changes[#changes + 1] = { "/etc/ssl/chat.pem", given.tls.certificate }
    changes[#changes + 1] = { "/etc/ssl/chat.key", given.tls.key }
  else
    changes[#changes + 1] = { "listen 443 ssl", ("listen 127.0.0.1:%d"):format(port) }
    changes[#changes + 1] = { "ssl_certificate /etc/ssl/chat.pem;", "" }
    changes[#changes + 1] = { "ssl_certificate_key /etc/ssl/chat.key;", "" }
  end
  changes[#changes + 1] = { "proxy_read_timeout 60s", "proxy_read_timeout " .. (given.seconds or 60) .. "s" }
  local text = NGINX:gsub("%%s", folder, 7):format(replace(read("nginx", "upstream"), changes))
  -- In its own folder, which only root could enter else.
  child.run("chmod 755 " .. child.quote(folder))
  return start(("nginx -p %s -c %s"):format(child.quote(folder), child.quote(write(folder .. "/conf", text))), port,
    folder)
end

local function haproxy(words, changes)
  local folder, port = child.make_folder(), ports.closed()
  changes[#changes + 1] = { ":443", "127.0.0.1:" .. port }
  local text = "global\n  maxconn 200\n" .. replace(read("haproxy", words), changes) .. "\n"
  return start("haproxy -db -f " .. child.quote(write(folder .. "/conf", text)), port, folder), folder
end

--- Starts HAProxy in its mode for HTTP.
-- @tparam integer backend port of the server
-- @tparam table given as for `nginx`
-- @treturn front with `port`
function front.haproxy(backend, given)
  local changes = { { "127.0.0.1:8000", "127.0.0.1:" .. backend },
    { "timeout tunnel 60s", "timeout tunnel " .. (given.seconds or 60) .. "s" } }
  local both
  if given.tls then
    both = os.tmpname()
    child.run(("cat %s %s >%s"):format(child.quote(given.tls.certificate), child.quote(given.tls.key), both))
    changes[#changes + 1] = { "/etc/ssl/chat.pem", both }
  else
    changes[#changes + 1] = { " ssl crt /etc/ssl/chat.pem", "" }
  end
  local made = haproxy("mode http", changes)
  if both then os.remove(both) end
  return made
end

--- Starts HAProxy in its mode for bytes, with the PROXY protocol.
-- @tparam integer backend port of the server
-- @tparam[opt="send-proxy-v2"] string version how it is told to send the header
-- @treturn front with `port`
function front.haproxy_bytes(backend, version)
  return (haproxy("mode tcp", { { "127.0.0.1:8000", "127.0.0.1:" .. backend },
    { "send-proxy-v2", version or "send-proxy-v2" } }))
end

--- Ends it.
function front:stop()
  child.run(("kill -TERM -- -%d"):format(self.program.pid))
  self.program:stop()
  child.remove_folder(self.folder)
end

--- Ends all; for `after_each`.
function front.stop_all()
  for i = #running, 1, -1 do
    running[i]:stop()
    running[i] = nil
  end
end

return front
