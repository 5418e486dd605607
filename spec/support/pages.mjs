// Drives the page of examples/todo in headless Chromium: node spec/support/pages.mjs http://127.0.0.1:PORT/
import assert from "node:assert";
import { complaints, open as openPage, run, text } from "./stage.mjs";

const url = new URL(process.argv[2]);
const stage = {};

// A page that is not logged in asks and hears 401: the browser tells the console, and that is right.
const open = (address) => openPage(address, /status of 401/);

async function login(page, name) {
  await page.fill("#name", name);
  await page.click("#login button");
  await page.waitForSelector("#list:not([hidden])");
}

// How a WebSocket that the page opens ends: "open" or "failed", and its subprotocol.
const socket = (page, address, protocol) => page.evaluate(([where, name]) => new Promise((resolve) => {
  const one = new WebSocket(where, name);
  one.onopen = () => { resolve(["open", one.protocol]); one.close(); };
  one.onerror = () => resolve(["failed", one.protocol]);
}), [address, protocol]);

const live = (name) => new URL(`live/${name}`, url).href.replace(/^http/, "ws");

const checks = [
  ["a page, its script and its style come from the folder", async () => {
    stage.first = await open(url.href);
    assert.strictEqual(await stage.first.title(), "Shared to-do list");
    const style = await stage.first.evaluate(() => getComputedStyle(document.querySelector("ul")).listStyleType);
    assert.strictEqual(style, "none");
    const again = await stage.first.reload();
    assert.strictEqual(again.status() === 200 || again.status() === 304, true);
  }],

  ["without a login there is no socket", async () => {
    assert.deepStrictEqual(await socket(stage.first, live("items"), "todo.items"), ["failed", ""]);
    complaints.length = 0;
  }],

  ["a login sets a cookie that scripts cannot read, and opens two sockets", async () => {
    await login(stage.first, "joe");
    await text(stage.first, "#people", "joe");
    assert.strictEqual(await stage.first.evaluate(() => document.cookie), "");
    const cookies = await stage.first.context().cookies();
    assert.deepStrictEqual(cookies.map(({ name, httpOnly, sameSite }) => [name, httpOnly, sameSite]),
      [["session", true, "Strict"]]);
  }],

  ["two routes speak two subprotocols", async () => {
    assert.deepStrictEqual(await socket(stage.first, live("items"), ["x", "todo.items"]), ["open", "todo.items"]);
    assert.deepStrictEqual(await socket(stage.first, live("people"), ["todo.people"]), ["open", "todo.people"]);
    assert.deepStrictEqual(await socket(stage.first, live("items"), ["todo.people"]), ["failed", ""]);
    complaints.length = 0;
  }],

  ["JSON comes from the same port", async () => {
    const got = await stage.first.evaluate(async () => {
      const answer = await fetch("api/items");
      return [answer.status, answer.headers.get("content-type"), await answer.json()];
    });
    assert.deepStrictEqual(got, [200, "application/json", []]);
  }],

  ["what one page adds appears in another, and goes there, too", async () => {
    stage.second = await open(url.href);
    await login(stage.second, "ann");
    await text(stage.first, "#people", "ann, joe");
    await stage.first.fill("#text", "milk & \u2615 <b>");
    await stage.first.click("#add button");
    await text(stage.second, "#items span", "milk & \u2615 <b>");
    await text(stage.second, "#items small", "joe");
    await stage.second.click("#items button");
    await text(stage.first, "#items span", "");
  }],

  ["the cookie lets a page in again without a login", async () => {
    await stage.first.reload();
    await stage.first.waitForSelector("#list:not([hidden])");
    await text(stage.first, "#people", "ann, joe");
  }],

  ["a page of another origin is refused", async () => {
    const elsewhere = await open(url.href.replace("127.0.0.1", "localhost"));
    await login(elsewhere, "eve");
    // The cookie of this origin is there; that it is not sent along, or not accepted, is what protects.
    assert.deepStrictEqual(await socket(elsewhere, live("items"), "todo.items"), ["failed", ""]);
    const own = live("items").replace("127.0.0.1", "localhost");
    assert.deepStrictEqual(await socket(elsewhere, own, "todo.items"), ["open", "todo.items"]);
    complaints.length = 0;
  }],

  ["the console shows no errors", async () => assert.deepStrictEqual(complaints, [])],
];

await run(checks);
