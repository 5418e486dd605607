// Drives the page of examples/chat in headless Chromium: node spec/support/chat.mjs http://127.0.0.1:PORT/ [PID]
// PID is the process of the launcher, where there is one. PICTURE in the environment names a file for a picture of it.
import assert from "node:assert";
import { complaints, open as openPage, run, text } from "./stage.mjs";

const url = process.argv[2], launcher = Number(process.argv[3] || 0);
const MOST_PAGES = 12, SAID = 20;
const stage = {};

// The browser tells the console of connections that end while a worker is replaced.
const open = () => openPage(url, /WebSocket connection to/);

async function join(page, name, room) {
  await page.fill("#name", name);
  await page.fill("#room", room);
  await page.click("#join button");
  await page.waitForSelector("#chat:not([hidden])");
  return page;
}

async function say(page, words) {
  await page.fill("#text", words);
  await page.click("#say button");
}

const worker = async (page) => (await page.textContent("#state")).match(/\d+|one process/)[0];

const checks = [
  ["two pages see who is in the room", async () => {
    stage.ann = await join(await open(), "Ann", "lobby");
    await text(stage.ann, "#people", "Ann");
    stage.bob = await join(await open(), "Bob", "lobby");
    for (const page of [stage.ann, stage.bob]) await text(page, "#people", "Ann, Bob");
  }],

  ["what one says appears at the other, markup as text", async () => {
    await say(stage.ann, "Good morning \u2615 <b>");
    await say(stage.ann, 'He said "hello\\world"');
    await text(stage.bob, "#said span", 'Good morning \u2615 <b>|He said "hello\\world"');
    await text(stage.ann, "#said li.own span", 'Good morning \u2615 <b>|He said "hello\\world"');
    await say(stage.bob, "Morning, Ann");
    await text(stage.ann, "#said span", 'Good morning \u2615 <b>|He said "hello\\world"|Morning, Ann');
  }],

  ["who comes later sees what was said before", async () => {
    stage.cyd = await join(await open(), "Cyd", "lobby");
    await text(stage.cyd, "#said span", 'Good morning \u2615 <b>|He said "hello\\world"|Morning, Ann');
    await text(stage.ann, "#people", "Ann, Bob, Cyd");
    if (process.env.PICTURE) {
      await stage.ann.setViewportSize({ width: 560, height: 460 });
      await say(stage.cyd, "Hello both! What did I miss?");
      await text(stage.ann, "#said li:last-child span", "Hello both! What did I miss?");
      await stage.ann.screenshot({ path: process.env.PICTURE });
    }
  }],

  ["rooms are apart", async () => {
    const dan = await join(await open(), "Dan", "garden");
    await say(dan, "Nobody here");
    await text(dan, "#said span", "Nobody here");
    await text(dan, "#people", "Dan");
    await text(stage.bob, "#people", "Ann, Bob, Cyd");
    assert.ok(!(await stage.bob.textContent("#said")).includes("Nobody"));
    await dan.close();
  }],

  ["a wrong name is refused", async () => {
    const page = await open();
    await page.evaluate(() => document.querySelectorAll("input").forEach((one) => one.removeAttribute("pattern")));
    await page.fill("#name", "<eve>");
    await page.click("#join button");
    await page.waitForFunction(() => document.getElementById("message").textContent.startsWith("a name has"));
    await page.close();
  }],

  ["who leaves is not in the list any more", async () => {
    await stage.cyd.close();
    for (const page of [stage.ann, stage.bob]) await text(page, "#people", "Ann, Bob");
  }],
];

const ofWorkers = [
  ["pages at different workers share the room", async () => {
    const first = await worker(stage.ann);
    for (let i = 0; i < MOST_PAGES && !stage.far; i++) {
      const page = await join(await open(), `Far${i}`, "lobby");
      if (await worker(page) === first) await page.close();
      else stage.far = page;
    }
    assert.ok(stage.far, "all pages were served by one worker");
    await say(stage.far, "from far");
    await text(stage.ann, "#said li:last-child span", "from far");
    await stage.far.close();
    await text(stage.ann, "#people", "Ann, Bob");
  }],

  ["while all workers are replaced, nothing that was sent is lost or comes twice", async () => {
    const before = await stage.ann.locator("#said span").count();
    process.kill(launcher, "SIGHUP");
    const words = Array.from({ length: SAID }, (_, i) => `number ${i}`);
    // Sent by one that says each until it sees it.
    for (const each of words) {
      const isThere = () => stage.bob.evaluate((one) => [...document.querySelectorAll("#said span")]
        .some((line) => line.textContent === one), each);
      while (!await isThere()) {
        await stage.bob.waitForFunction(() => document.getElementById("state").textContent.startsWith("connected"));
        await say(stage.bob, each);
        await stage.bob.waitForFunction((one) => [...document.querySelectorAll("#said span")]
          .some((line) => line.textContent === one), each, { timeout: 1500 }).catch(() => {});
      }
    }
    const said = (page) => page.evaluate((from) => [...document.querySelectorAll("#said span")].slice(from)
      .map((one) => one.textContent), before);
    const atBob = await said(stage.bob);
    assert.deepStrictEqual([...new Set(atBob)], words);
    await stage.ann.waitForFunction((count) => document.querySelectorAll("#said span").length === count,
      before + atBob.length);
    assert.deepStrictEqual(await said(stage.ann), atBob);
    await text(stage.ann, "#people", "Ann, Bob");
  }],
];

await run([...checks, ...launcher ? ofWorkers : [],
  ["the console shows no errors", async () => assert.deepStrictEqual(complaints, [])]]);
