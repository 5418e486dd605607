// Puts TLS on the connections to a server, or takes it off: `node relay.js wrap|unwrap PORT` prints "port N" and carries
// each connection to that port of 127.0.0.1. `unwrap` takes TLS connections for a server without TLS, `wrap` the other
// way round. CERTIFICATES is a folder of spec.support.certificates.
"use strict";

const fs = require("fs");
const net = require("net");
const path = require("path");
const tls = require("tls");

const [mode, port] = process.argv.slice(2);
const read = (name) => fs.readFileSync(path.join(process.env.CERTIFICATES, name));
const target = { host: "127.0.0.1", port: Number(port), allowHalfOpen: true };

// What ends or breaks on one side ends or breaks on the other.
function join(one, other) {
  for (const [from, to] of [[one, other], [other, one]]) {
    from.setNoDelay(true);
    from.pipe(to);
    from.on("error", () => to.destroy());
    from.on("close", () => to.destroy());
  }
}

function unwrap() {
  const settings = { cert: read("good.pem"), key: read("good.key"), allowHalfOpen: true };
  return tls.createServer(settings, (secure) => join(secure, net.connect(target)));
}

function wrap() {
  const settings = { ...target, ca: read("ca.pem"), servername: "localhost" };
  return net.createServer({ allowHalfOpen: true }, (plain) => join(plain, tls.connect(settings)));
}

const server = mode === "wrap" ? wrap() : unwrap();
server.listen(0, "127.0.0.1", () => console.log("port", server.address().port));
