// Node's `ws` as a client of the echo server of clients_spec: `node interop.js PORT [CA-FILE]`, exit code 0 when all is
// well, over TLS with a file of authorities; as an echo server for blocking_spec: `node interop.js server` prints its port.
"use strict";

const fs = require("fs");
const WebSocket = require("ws");

const SIZES = [0, 1, 125, 126, 65535, 65536, 1024 * 1024];
const LIMIT_MS = 50000;

function fail(message) {
  console.error(message);
  process.exit(1);
}

// Text of exactly so many bytes of UTF-8, most characters of two or three bytes.
function textOf(size) {
  return Buffer.from("€é".repeat(Math.floor(size / 5)) + "a".repeat(size % 5));
}

function bytesOf(size) {
  const bytes = Buffer.alloc(size);
  for (let i = 0; i < size; i += 1) bytes[i] = i % 251;
  return bytes;
}

function sendWhole(socket, data, binary) {
  socket.send(data, { binary });
}

// An empty piece, one byte, the rest cut in two, wherever in a character that is.
function sendFragments(socket, data, binary) {
  const half = Math.max(1, Math.floor(data.length / 2));
  const cuts = [data.subarray(0, 0), data.subarray(0, 1), data.subarray(1, half), data.subarray(half === 1 ? 1 : half)];
  cuts.forEach((piece, i) => socket.send(piece, { binary, fin: i === cuts.length - 1 }));
}

function next(socket, event) {
  return new Promise((resolve) => socket.once(event, (...values) => resolve(values)));
}

async function check(socket, data, binary, send) {
  const answer = next(socket, "message");
  send(socket, data, binary);
  const [got, isBinary] = await answer;
  if (isBinary !== binary || !data.equals(got)) fail(`sent ${data.length} ${binary}, got ${got.length} ${isBinary}`);
}

function open(port, authorities) {
  if (!authorities) return new WebSocket(`ws://127.0.0.1:${port}/`, ["nobody", "echo"]);
  return new WebSocket(`wss://localhost:${port}/`, ["nobody", "echo"], { ca: fs.readFileSync(authorities) });
}

async function main(port, authorities) {
  const socket = open(port, authorities);
  socket.on("error", (problem) => fail(String(problem)));
  await next(socket, "open");
  if (socket.protocol !== "echo") fail(`subprotocol ${socket.protocol}`);
  for (const size of SIZES) {
    for (const binary of [false, true]) {
      const data = binary ? bytesOf(size) : textOf(size);
      await check(socket, data, binary, sendWhole);
      await check(socket, data, binary, sendFragments);
    }
  }
  const pong = next(socket, "pong");
  socket.ping("ping");
  if (String((await pong)[0]) !== "ping") fail("another pong");
  const closed = next(socket, "close");
  socket.send("close me");
  const [code, reason] = await closed;
  if (code !== 4001 || String(reason) !== "bye") fail(`closed by ${code} ${reason}`);
  process.exit(0);
}

function answer(socket) {
  socket.on("pong", () => socket.send("ponged"));
  socket.on("message", (data, isBinary) => {
    const text = isBinary ? "" : String(data);
    if (text === "close me") socket.close(4001, "bye");
    else if (text === "ping me") socket.ping("ping");
    else if (text === "in fragments") sendFragments(socket, textOf(70000), false);
    else socket.send(data, { binary: isBinary });
  });
}

function startServer() {
  const server = new WebSocket.Server({ host: "127.0.0.1", port: 0, perMessageDeflate: true });
  server.on("connection", answer);
  server.on("listening", () => console.log(`port ${server.address().port}`));
}

setTimeout(() => fail("too slow"), LIMIT_MS);
if (process.argv[2] === "server") startServer();
else main(process.argv[2], process.argv[3]);
