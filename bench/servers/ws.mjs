// The benchmark's server on ws: `ws.mjs --port N`; NODE_MODULES tells where ws is.
import { createRequire } from "node:module";

const require = createRequire(process.env.NODE_MODULES + "/");
const { WebSocketServer } = require("ws");

const recipients = new Set();
const server = new WebSocketServer({
  host: "127.0.0.1",
  port: Number(process.argv[3]),
  backlog: 4096,
  perMessageDeflate: false,
});

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
