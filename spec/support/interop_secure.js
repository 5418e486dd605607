// Node's `ws` as an echo server over TLS: `node interop_secure.js CERTIFICATE KEY` prints "port N".
"use strict";

const fs = require("fs");
const https = require("https");
const { WebSocketServer } = require("ws");

const [certificate, key] = process.argv.slice(2);
const server = https.createServer({ cert: fs.readFileSync(certificate), key: fs.readFileSync(key) });
const sockets = new WebSocketServer({ server, perMessageDeflate: true, handleProtocols: () => "echo" });

sockets.on("connection", (socket) => {
  socket.on("message", (data, isBinary) => {
    if (String(data) === "close me") socket.close(4001, "bye");
    else socket.send(data, { binary: isBinary });
  });
});

server.listen(0, "127.0.0.1", () => console.log("port", server.address().port));
