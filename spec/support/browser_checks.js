// What the test page must do in a browser, in this order: each check goes on where the one before it ended.
"use strict";

const assert = require("assert");
const {
  complaints, connected, counterFalls, counterFrom, drag, inked, offline, openPage, picture, sendRaw, shoot,
  startServer, stopServer, swipe, until,
} = require("./browser.js");

const DESKTOP = { viewport: { width: 1200, height: 800 } };
const DARK = { ...DESKTOP, colorScheme: "dark" };
const PHONE = { viewport: { width: 390, height: 780 }, hasTouch: true, isMobile: true, deviceScaleFactor: 2 };

const RED = "#d62839", GREEN = "#1d8a4c", BLUE = "#1565c0", BLACK = "#1b2430";

const HOSTILE = [
  "", ";", " ", "d", "c", "d ;", "<img src=x onerror=alert(1)>", "d red 0 0 480 300;", "d #12345 0 0 480 300;",
  "d #1234567 0 0 480 300;", "d #00000g 0 0 480 300;", "d #000000 0 0 480;", "d #000000 0 0 480 300 5;",
  "d #000000 NaN 0 480 300;", "d #000000 0 0 1e9 300;", "d #000000 0 0 Infinity 300;", "d #000000 0x0 0 480 300;",
  "d #000000  0 0 480 300;", "d #000000;0 0 480 300;", "c #000000 240 150 -20;", "c #000000 240 150;",
  "d url(javascript:alert(1)) 0 0 480 300;", "__proto__ #000000 0 0 480 300;", "d #000000 \u0000 0 480 300;",
  "p", "p 0000000000000000 1", "\u{1F600}".repeat(50), `d #000000 ${"9".repeat(40)} 0 480 300;`, "x".repeat(70000),
];

module.exports = [
  ["the counter moves and resets", async (stage) => {
    stage.first = await openPage(stage.browser, stage.url, DESKTOP);
    await connected(stage.first);
    await counterFrom(stage.first, 8);
    await counterFalls(stage.first, 5, () => stage.first.click("#reset"));
    await counterFrom(stage.first, 6);
  }],

  ["a stroke with the mouse appears in another page, in both directions", async (stage) => {
    stage.second = await openPage(stage.browser, stage.url, DARK);
    await connected(stage.second);
    await stage.first.click("[aria-label=red]", { force: true });
    await drag(stage.first, [[60, 60], [160, 120], [260, 60]]);
    await inked(stage.first, 160, 120, RED);
    await inked(stage.second, 160, 120, RED);
    await inked(stage.second, 60, 60, RED);
    await stage.second.click("[aria-label=blue]", { force: true });
    await drag(stage.second, [[60, 240], [400, 240]]);
    await inked(stage.first, 240, 240, BLUE);
  }],

  ["boards agree point for point", async (stage) => {
    // The sender draws at once and leaves its echo out; a line drawn twice would have other edges.
    await sendRaw(stage.first, [`d ${GREEN} 20 280 40 280;`]);
    await inked(stage.first, 30, 280, GREEN);
    await inked(stage.second, 30, 280, GREEN);
    assert.strictEqual(await picture(stage.first), await picture(stage.second));
    await shoot(stage.first, "desktop-light");
    await shoot(stage.second, "desktop-dark");
  }],

  ["round trips are measured", async (stage) => {
    await until(stage.first, () => /^\d+\.\d$/.test(document.getElementById("trip").textContent));
    await until(stage.first, () => /^\d+\.\d$/.test(document.getElementById("median").textContent));
  }],

  ["the keyboard draws too", async (stage) => {
    await stage.first.click("[aria-label=black]", { force: true });
    await stage.first.focus("#board");
    await stage.first.keyboard.press("Space");
    for (let i = 0; i < 5; i += 1) await stage.first.keyboard.press("ArrowRight");
    await stage.first.keyboard.press("Space");
    await inked(stage.second, 255, 150, BLACK);
    await shoot(stage.first, "desktop-keyboard");
  }],

  ["on a phone a finger draws, nothing is cut off and every control can be hit", async (stage) => {
    stage.phone = await openPage(stage.browser, stage.url, PHONE);
    await connected(stage.phone);
    await stage.phone.tap("[aria-label=green]", { force: true });
    await swipe(stage.phone, [[100, 180], [200, 180], [300, 200]]);
    await inked(stage.phone, 150, 180, GREEN);
    await inked(stage.first, 150, 180, GREEN);
    // Up and down is where a page would scroll instead.
    await swipe(stage.phone, [[400, 280], [400, 240], [400, 180], [400, 120], [400, 80]]);
    await inked(stage.first, 400, 100, GREEN);
    const layout = await stage.phone.evaluate(() => ({
      overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
      scrolled: scrollY,
      small: [...document.querySelectorAll("button, .swatch")].map((control) => control.getBoundingClientRect())
        .filter((box) => box.width < 44 || box.height < 44).length,
    }));
    assert.deepStrictEqual(layout, { overflow: 0, scrolled: 0, small: 0 });
    await shoot(stage.phone, "phone-light");
  }],

  ["hostile text draws nothing and harms nothing", async (stage) => {
    const marks = `d ${BLUE} 20 20 20 100; nonsense; c ${RED} 420 60 20;`;
    const drawnAfter = async (texts) => {
      await stage.second.click("#clear");
      await sendRaw(stage.first, [...texts, marks]);
      await inked(stage.second, 20, 60, BLUE);
      await inked(stage.second, 440, 60, RED);
      return picture(stage.second);
    };
    assert.strictEqual(await drawnAfter(HOSTILE), await drawnAfter([]));
  }],

  ["clearing is local", async (stage) => {
    await stage.first.click("#clear");
    assert.notStrictEqual(await picture(stage.first), await picture(stage.second));
    await inked(stage.second, 20, 60, BLUE);
  }],

  ["pages come back by themselves after the server was gone", async (stage) => {
    await stopServer();
    await offline(stage.first);
    await offline(stage.phone);
    await shoot(stage.phone, "phone-offline");
    await startServer(stage.port);
    await Promise.all([connected(stage.first), connected(stage.second), connected(stage.phone)]);
    await counterFrom(stage.first, 1);
    await drag(stage.second, [[300, 40], [300, 280]]);
    await inked(stage.first, 300, 160, BLUE);
    await inked(stage.phone, 300, 160, BLUE);
  }],

  ["the button connects anew", async (stage) => {
    await counterFrom(stage.first, 5);
    await counterFalls(stage.first, 4, () => stage.first.click("#reconnect"));
    await connected(stage.first);
  }],

  ["what is not there is 404 and the icon is there", async (stage) => {
    const icon = await stage.first.request.get(`${stage.url}favicon.ico`);
    assert.strictEqual(icon.status(), 200);
    assert.strictEqual(icon.headers()["content-type"], "image/x-icon");
    assert.strictEqual((await stage.first.request.get(`${stage.url}nothing`)).status(), 404);
  }],

  ["the console shows no errors but refused connections", async () => {
    assert.deepStrictEqual(complaints, []);
  }],
];
