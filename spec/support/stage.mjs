// What drivers of pages in headless Chromium have in common. One line for each check on standard output:
// "passed<TAB>name" or "failed<TAB>name<TAB>why".
import assert from "node:assert";
import { createRequire } from "node:module";

// Not `import`: only `require` looks where NODE_PATH says.
const { chromium } = createRequire(import.meta.url)("playwright-core");

// They end what hangs; a machine with much else to do must not reach them.
const WHOLE_RUN_MS = 150000, STEP_MS = 60000;
const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync"];

// What the browser complained about on its console.
export const complaints = [];

let browser;

// Opens a page as somebody new; `expected` are complaints that are right.
export async function open(address, expected = /^$/) {
  const context = await browser.newContext();
  const page = await context.newPage();
  page.setDefaultTimeout(STEP_MS);
  page.on("console", (line) => {
    if (line.type() === "error" && !expected.test(line.text())) complaints.push(line.text());
  });
  page.on("pageerror", (error) => complaints.push(String(error)));
  const answer = await page.goto(address);
  assert.strictEqual(answer.status(), 200);
  return page;
}

// Waits until the texts of all elements, joined by |, are these.
export const text = (page, selector, wanted) => page.waitForFunction(([where, expected]) =>
  [...document.querySelectorAll(where)].map((each) => each.textContent).join("|") === expected, [selector, wanted]);

// Runs checks, which are pairs of name and function, one after the other.
export async function run(checks) {
  const limit = setTimeout(() => {
    console.log("failed\tthe whole run\ttook too long");
    process.exit(1);
  }, WHOLE_RUN_MS);
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM || "/usr/bin/chromium", args: FLAGS });
  for (const [name, check] of checks) {
    try {
      await check();
      console.log(`passed\t${name}`);
    } catch (error) {
      console.log(`failed\t${name}\t${String(error.message).replace(/\s+/g, " ")}`);
    }
  }
  await browser.close();
  clearTimeout(limit);
}
