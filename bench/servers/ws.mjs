// The benchmark's server on ws: `ws.mjs --port N`; NODE_MODULES tells where ws is, BENCH_TLS where certificate and key.
import { readFileSync } from "node:fs";
import { createServer as createPlain } from "node:http";
import { createServer as createSecure } from "node:https";
import { createRequire } from "node:module";

const require = createRequire(process.env.NODE_MODULES + "/");
const { WebSocketServer } = require("ws");

const recipients = new Set();
const folder = process.env.BENCH_TLS;
const files = (path) => ({ cert: readFileSync(path + "/cert.pem"), key: readFileSync(path + "/key.pem") });
const http = folder ? createSecure(files(folder)) : createPlain();
const server = new WebSocketServer({ server: http, perMessageDeflate: false });
http.listen({ host: "127.0.0.1", port: Number(process.argv[3]), backlog: 4096 });

server.on("connection", (socket) => {
  socket.on("error", () => {});
  if (socket.protocol !== "fanout") {
    socket.on("message", (data, binary) => socket.send(data, { binary }));
    return;
  }
  recipients.add(socket);
  socket.on("close", () => recipients.delete(socket));
  socket.on("message", (data, binary) => {
    for (const recipient of recipients) recipient.send(data, { binary });
  });
});
