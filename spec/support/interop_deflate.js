// Node's `ws` and compression: `node interop_deflate.js client PORT` goes through the parameters against our echo server,
// exit code 0 when all is well; `node interop_deflate.js server` prints "NAME PORT" for each of its echo servers.
"use strict";

const WebSocket = require("ws");

const LIMIT_MS = 50000;
const SIZES = [0, 1, 100, 5000, 70000];
const BITS = [9, 10, 11, 12, 13, 14, 15];

const forms = { off: false, plain: {} };
forms.server_forgets = { serverNoContextTakeover: true };
forms.client_forgets = { clientNoContextTakeover: true };
forms.both_forget = { serverNoContextTakeover: true, clientNoContextTakeover: true };
for (const bits of BITS) {
  forms[`server_${bits}`] = { serverMaxWindowBits: bits };
  forms[`client_${bits}`] = { clientMaxWindowBits: bits };
}
for (const form of Object.values(forms)) if (form) form.threshold = 0;

function fail(message) {
  console.error(message);
  process.exit(1);
}

// What a form asks for and the server's answer does not say; the largest window need not be named.
function missingFrom(name, answer) {
  const wanted = name === "off" ? [] : ["permessage-deflate"];
  for (const side of ["server", "client"]) {
    if (name === `${side}_forgets` || name === "both_forget") wanted.push(`${side}_no_context_takeover`);
    for (const bits of BITS) if (name === `${side}_${bits}` && bits < 15) wanted.push(`${side}_max_window_bits=${bits}`);
  }
  const said = answer.split(/[; ]+/);
  return wanted.filter((one) => !said.includes(one));
}

// Words that come again, so that a context is worth something.
function textOf(size) {
  let text = "";
  for (let i = 0; text.length < size; i += 1) text += `{"word": ${(i * i) % 97}}, `;
  return Buffer.from(text.slice(0, size));
}

function bytesOf(size) {
  const bytes = Buffer.alloc(size);
  for (let i = 0, state = 1; i < size; i += 1) {
    state = (state * 16807) % 2147483647;
    bytes[i] = state % 251;
  }
  return bytes;
}

const next = (socket, event) => new Promise((resolve) => socket.once(event, (...values) => resolve(values)));

async function check(socket, data, binary, pieces) {
  const answer = next(socket, "message");
  const step = Math.ceil(data.length / pieces) || 1;
  for (let i = 0; i < pieces; i += 1) {
    socket.send(data.subarray(i * step, (i + 1) * step), { binary, fin: i === pieces - 1 });
  }
  const [got, isBinary] = await answer;
  if (isBinary !== binary || !data.equals(got)) fail(`sent ${data.length} ${binary}, got ${got.length} ${isBinary}`);
}

async function tryForm(port, name, perMessageDeflate) {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/`, ["echo"], { perMessageDeflate });
  socket.on("error", (problem) => fail(`${name}: ${problem}`));
  let answer = "";
  socket.on("upgrade", (response) => { answer = response.headers["sec-websocket-extensions"] || ""; });
  await next(socket, "open");
  if (socket.extensions !== (perMessageDeflate ? "permessage-deflate" : "")) fail(`${name}: "${socket.extensions}"`);
  if (missingFrom(name, answer).length) fail(`${name}: the answer is "${answer}"`);
  for (let round = 0; round < 2; round += 1) {
    for (const size of SIZES) {
      await check(socket, textOf(size), false, 1);
      await check(socket, bytesOf(size), true, 1);
      await check(socket, textOf(size), false, 3);
    }
  }
  const closed = next(socket, "close");
  socket.close(1000);
  const [code] = await closed;
  if (code !== 1000) fail(`${name}: closed by ${code}`);
}

async function client(port) {
  for (const [name, form] of Object.entries(forms)) await tryForm(port, name, form);
  process.exit(0);
}

function server() {
  for (const [name, perMessageDeflate] of Object.entries(forms)) {
    const made = new WebSocket.Server({ port: 0, host: "127.0.0.1", perMessageDeflate });
    const answers = new WeakMap();
    made.on("headers", (lines, request) => {
      const line = lines.find((one) => /^sec-websocket-extensions:/i.test(one)) || ":";
      answers.set(request, line.slice(line.indexOf(":") + 1).trim());
    });
    made.on("connection", (socket, request) => {
      socket.on("message", (data, binary) => socket.send(data, { binary }));
      socket.send(`extensions ${answers.get(request)}`);
    });
    made.on("listening", () => console.log(`${name} ${made.address().port}`));
  }
}

setTimeout(() => fail("too slow"), LIMIT_MS);
if (process.argv[2] === "server") server(); else client(process.argv[3]);
