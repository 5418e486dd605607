// Drives the test page in headless Chromium: node spec/support/browser.js COMMAND [ARGUMENT...]
// The command is that of a test server without port and address. One line for each check on standard output:
// "passed<TAB>name" or "failed<TAB>name<TAB>why". With SCREENSHOTS set, pictures go into that folder.
"use strict";

const { spawn } = require("child_process");
const path = require("path");
const { chromium } = require("playwright-core");

const ADDRESS = "127.0.0.1";
// They end what hangs; a machine with much else to do must not reach them.
const WHOLE_RUN_MS = 150000, STEP_MS = 60000;
const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync"];
const REFUSED = /WebSocket connection to '[^']*' failed: .*ERR_CONNECTION_(REFUSED|RESET|CLOSED)/;

function within(promise, what, milliseconds = STEP_MS) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`too late: ${what}`)), milliseconds);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

// ---- the server, ended by its own process id

let server = null;

async function startServer(port) {
  // `timeout` ends the server should this process be killed.
  const words = ["170", ...process.argv.slice(2), String(port), ADDRESS];
  const child = spawn("timeout", words, { stdio: ["ignore", "pipe", "inherit"] });
  server = child;
  console.log(`pid\t${child.pid}`);
  child.stdout.setEncoding("utf8");
  const link = new Promise((resolve, reject) => {
    let text = "";
    child.stdout.on("data", (piece) => {
      text += piece;
      const found = text.match(/http:\/\/[^\s/]+:(\d+)\/\s/);
      if (found) resolve({ url: found[0].trim(), port: Number(found[1]) });
    });
    child.on("exit", () => reject(new Error("the server ended before it listened")));
    child.on("error", reject);
  });
  return within(link, "the server's link");
}

async function stopServer() {
  const child = server;
  server = null;
  if (child === null || child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.on("exit", resolve));
  child.kill("SIGTERM");
  await within(gone, "the end of the server", 2000).catch(() => child.kill("SIGKILL"));
}

// ---- pages

const complaints = [];

async function openPage(browser, url, options) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  page.setDefaultTimeout(STEP_MS);
  page.on("console", (line) => {
    if (line.type() === "error" && !REFUSED.test(line.text())) complaints.push(line.text());
  });
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("dialog", (dialog) => { complaints.push(`dialog: ${dialog.message()}`); dialog.dismiss().catch(() => {}); });
  const answer = await page.goto(url);
  if (answer.status() !== 200) throw new Error(`status ${answer.status()}`);
  return page;
}

const until = (page, body, argument) => page.waitForFunction(body, argument, { polling: 30 });

const connected = (page) => until(page, () =>
  ["count-state", "board-state"].every((id) => document.getElementById(id).textContent === "connected"));

const offline = (page) => until(page, () =>
  ["count-state", "board-state"].every((id) => document.getElementById(id).textContent !== "connected"));

// Waits until the number has been below a limit since `act` began. The page notes it: where the machine has much else to
// do, a number may be there for no time at all.
const counterFalls = async (page, limit, act) => {
  await page.evaluate(() => {
    const count = document.getElementById("count");
    window.least = Infinity;
    new MutationObserver(() => {
      if (/^\d+$/.test(count.textContent)) window.least = Math.min(window.least, Number(count.textContent));
    }).observe(count, { childList: true, characterData: true, subtree: true });
  });
  await act();
  await until(page, (most) => window.least < most, limit);
};

const counterFrom = (page, limit) => until(page, (least) =>
  Number(document.getElementById("count").textContent) >= least, limit);

// Waits for one colour at a point of the board, in board units.
const inked = (page, x, y, colour) => until(page, ([left, top, wanted]) => {
  const data = document.getElementById("board").getContext("2d").getImageData(left * 2, top * 2, 1, 1).data;
  return "#" + [0, 1, 2].map((i) => data[i].toString(16).padStart(2, "0")).join("") === wanted && data[3] === 255;
}, [x, y, colour]);

const picture = (page) => page.evaluate(() => document.getElementById("board").toDataURL());

async function toScreen(page, x, y) {
  const box = await page.locator("#board").boundingBox();
  return { x: box.x + x / 480 * box.width, y: box.y + y / 300 * box.height };
}

async function drag(page, points) {
  const [first, ...rest] = await Promise.all(points.map(([x, y]) => toScreen(page, x, y)));
  await page.mouse.move(first.x, first.y);
  await page.mouse.down();
  for (const point of rest) await page.mouse.move(point.x, point.y, { steps: 4 });
  await page.mouse.up();
}

async function swipe(page, points) {
  const session = await page.context().newCDPSession(page);
  const places = await Promise.all(points.map(([x, y]) => toScreen(page, x, y)));
  const touch = (type, touchPoints) => session.send("Input.dispatchTouchEvent", { type, touchPoints });
  await touch("touchStart", [places[0]]);
  for (const place of places.slice(1)) await touch("touchMove", [place]);
  await touch("touchEnd", []);
  await session.detach();
}

async function shoot(page, name) {
  if (!process.env.SCREENSHOTS) return;
  const file = path.join(process.env.SCREENSHOTS, `${name}.png`);
  await page.screenshot({ path: file, fullPage: true });
  console.log(`picture\t${file}`);
}

// Text for everyone on the board, sent past the page's own code; "p end" marks that all of it has come back.
const sendRaw = (page, texts) => page.evaluate((lines) => new Promise((resolve, reject) => {
  const socket = new WebSocket(`ws://${location.host}/`, "lws-mirror-protocol");
  socket.onopen = () => { for (const line of [...lines, "p end"]) socket.send(line); };
  socket.onmessage = (event) => { if (event.data === "p end") { socket.close(); resolve(); } };
  socket.onerror = () => reject(new Error("raw socket"));
}), texts);

module.exports = {
  complaints, connected, counterFalls, counterFrom, drag, inked, offline, openPage, picture, sendRaw, shoot,
  startServer, stopServer, swipe, until,
};

// ---- the run

async function main() {
  const checks = require("./browser_checks.js");
  const watchdog = setTimeout(() => {
    console.error("the whole run took too long");
    finish().finally(() => process.exit(3));
  }, WHOLE_RUN_MS);
  let browser = null;
  async function finish() {
    await stopServer();
    if (browser !== null) await within(browser.close(), "the end of the browser", 3000).catch(() => {});
  }
  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"]) {
    process.on(signal, () => finish().finally(() => process.exit(4)));
  }
  try {
    const { url, port } = await startServer("any");
    browser = await chromium.launch({ executablePath: process.env.CHROMIUM || "/usr/bin/chromium", args: FLAGS });
    const stage = { browser, url, port };
    for (const [name, check] of checks) {
      try {
        await check(stage);
        console.log(`passed\t${name}`);
      } catch (error) {
        console.log(`failed\t${name}\t${String(error.message || error).split("\n").slice(0, 3).join(" | ")}`);
      }
    }
  } finally {
    clearTimeout(watchdog);
    await finish();
  }
}

if (require.main === module) main().then(() => process.exit(0), (error) => { console.error(error); process.exit(2); });
