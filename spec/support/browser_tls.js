// Chromium and TLS: node browser_tls.js PORT SPKI, the base64 SHA-256 of the server's public key. One line for each check
// on standard output, as browser.js.
"use strict";

const fs = require("fs");
const os = require("os");
const path = require("path");
const { chromium } = require("playwright-core");

// It ends what hangs; a machine with much else to do must not reach it.
const LIMIT_MS = 150000;
const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync"];

// In the page: sends a message and waits for the same one to come back.
function echo([kind, size]) {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(`wss://${location.host}/`, "echo");
    socket.binaryType = "arraybuffer";
    const text = "0123456789".repeat(Math.ceil(size / 10)).slice(0, size);
    socket.onopen = () => socket.send(kind === "binary" ? new TextEncoder().encode(text) : text);
    socket.onmessage = ({ data }) => {
      const got = typeof data === "string" ? data : new TextDecoder().decode(data);
      if ((typeof data === "string") !== (kind === "text") || got !== text) return reject(new Error("another message"));
      socket.onclose = (event) => resolve({ clean: event.wasClean, code: event.code, extensions: socket.extensions });
      socket.close(1000);
    };
    socket.onerror = () => reject(new Error("socket"));
  });
}

async function check(name, work) {
  try {
    console.log(`passed\t${name}\t${await work()}`);
  } catch (error) {
    console.log(`failed\t${name}\t${String(error.message).split("\n")[0]}`);
  }
}

async function main(port, spki) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "browser-"));
  const context = await chromium.launchPersistentContext(folder, {
    executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
    args: [...FLAGS, `--ignore-certificate-errors-spki-list=${spki}`],
  });
  try {
    const page = await context.newPage();
    await check("page", async () => {
      const answer = await page.goto(`https://localhost:${port}/`);
      const { protocol } = await answer.securityDetails();
      if (answer.status() !== 200) throw new Error(`status ${answer.status()}`);
      return protocol;
    });
    for (const [kind, size] of [["text", 5], ["binary", 20000], ["text", 1048576], ["binary", 1048576]]) {
      await check(`${kind} of ${size}`, async () => {
        const end = await page.evaluate(echo, [kind, size]);
        if (!end.clean || end.code !== 1000) throw new Error(`closed by ${end.code}, clean ${end.clean}`);
        return `extensions "${end.extensions}"`;
      });
    }
  } finally {
    await context.close();
    fs.rmSync(folder, { recursive: true, force: true });
  }
}

setTimeout(() => process.exit(3), LIMIT_MS);
main(process.argv[2], process.argv[3]).then(() => process.exit(0), (error) => { console.error(error); process.exit(2); });
