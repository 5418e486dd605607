// Chromium and compression: node browser_deflate.js PORT. One line for each check on standard output, as browser.js.
// The page's socket goes through a relay that counts bytes.
"use strict";

const net = require("net");
const { chromium } = require("playwright-core");

// It ends what hangs; a machine with much else to do must not reach it.
const LIMIT_MS = 150000;
const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync"];
// One byte on the wire stands for at least so many of the message.
const SHRINKS = 5;

const count = { up: 0, down: 0 };

function startRelay(port) {
  const relay = net.createServer((near) => {
    const far = net.connect(port, "127.0.0.1");
    near.on("data", (data) => { count.up += data.length; far.write(data); });
    far.on("data", (data) => { count.down += data.length; near.write(data); });
    for (const [one, other] of [[near, far], [far, near]]) {
      one.on("end", () => other.end());
      one.on("error", () => other.destroy());
    }
  });
  return new Promise((resolve) => relay.listen(0, "127.0.0.1", () => resolve(relay)));
}

// In the page: sends a message and waits for the same one to come back.
function echo([address, kind, size]) {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(address, "echo");
    socket.binaryType = "arraybuffer";
    let text = "";
    for (let i = 0; text.length < size; i += 1) text += JSON.stringify({ id: i, name: `name ${i % 50}`, flags: [1, 0] });
    text = text.slice(0, size);
    socket.onopen = () => socket.send(kind === "binary" ? new TextEncoder().encode(text) : text);
    socket.onmessage = ({ data }) => {
      const got = typeof data === "string" ? data : new TextDecoder().decode(data);
      if ((typeof data === "string") !== (kind === "text") || got !== text) return reject(new Error("another message"));
      socket.onclose = (event) => resolve({ extensions: socket.extensions, clean: event.wasClean, code: event.code });
      socket.close(1000);
    };
    socket.onerror = () => reject(new Error("socket"));
  });
}

async function check(page, address, kind, size) {
  count.up = 0;
  count.down = 0;
  const end = await page.evaluate(echo, [address, kind, size]);
  if (!end.extensions.startsWith("permessage-deflate")) throw new Error(`extensions "${end.extensions}"`);
  if (!end.clean || end.code !== 1000) throw new Error(`closed by ${end.code}, clean ${end.clean}`);
  const sums = `${size} bytes as ${count.up} up, ${count.down} down`;
  if (count.up * SHRINKS > size || count.down * SHRINKS > size) throw new Error(sums);
  console.log(`passed\t${kind} of ${size}\t${sums}`);
}

async function main(port) {
  const relay = await startRelay(port);
  const address = `ws://127.0.0.1:${relay.address().port}/`;
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM || "/usr/bin/chromium", args: FLAGS });
  try {
    const page = await (await browser.newContext()).newPage();
    for (const [kind, size] of [["text", 20000], ["binary", 20000], ["text", 1048576]]) {
      await check(page, address, kind, size).catch((error) => {
        console.log(`failed\t${kind} of ${size}\t${String(error.message).split("\n")[0]}`);
      });
    }
  } finally {
    await browser.close();
  }
}

setTimeout(() => process.exit(3), LIMIT_MS);
main(Number(process.argv[2])).then(() => process.exit(0), (error) => { console.error(error); process.exit(2); });
