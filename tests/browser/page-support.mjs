// The page as a visitor opens it, for its tests: under the strict Content-Security-Policy, below a path of its own,
// because nothing on the page may count on standing at the root. Whatever it writes to the console, and whatever it asks
// of another origin, is a failure.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';

import { serve } from '../../web/cli/server.js';
import { isFirefox, launch } from './engine.mjs';

export const DIST = new URL('../../dist/', import.meta.url);

/** The names of the sample pictures. */
export const samples = (await readFile(new URL('demo/pictures/index.txt', DIST), 'utf8')).split('\n').filter(Boolean);
export const sample = (pattern) => samples.find((name) => pattern.test(name));
/** Some of them: more than a row of the grid. For tests of what does not depend on how many there are. */
export const few = samples.filter((name) => /^(a|b[aeio]|ca[rst]|ow|pi|red|taxi)/.test(name));

export const picture = async (name) => ({
  name,
  mimeType: name.endsWith('.png') ? 'image/png' : 'image/jpeg',
  buffer: await readFile(new URL(`demo/pictures/${name}`, DIST)),
});

/** Said where the service worker is not what is tested. */
const BLOCKED = /Service Worker registration blocked by Playwright/;

/** A server and a browser. */
export async function startPage({ engine = () => launch('--disable-quic'), ...options } = {}) {
  const server = await serve({ root: { '/some/where/': DIST }, ...options });
  const browser = await engine();
  const url = `${server.url}/some/where/demo/`;

  /** A page of its own context; returns it with what it asked for, and `check()`. */
  async function newPage(context, { expectedFailures = /^$/, others = [] } = {}) {
    const page = await context.newPage();
    const complaints = [];
    const requests = [];
    page.on('console', (message) => {
      if (
        ['error', 'warning'].includes(message.type()) &&
        ![BLOCKED, expectedFailures].some((text) => text.test(message.text()))
      )
        complaints.push(message.text());
    });
    page.on('pageerror', (error) => complaints.push(error.stack));
    context.on('request', (request) => requests.push(request.url()));
    await page.addInitScript(() => {
      addEventListener('securitypolicyviolation', (event) =>
        console.error(`violates ${event.violatedDirective}: ${event.blockedURI}`),
      );
    });
    page.setDefaultTimeout(30_000);
    const known = [`${server.url}/`, 'blob:', 'data:', ...others];
    const check = () => {
      assert.deepEqual(complaints, []);
      assert.deepEqual(
        requests.filter((place) => !known.some((start) => place.startsWith(start))),
        [],
      );
    };
    return { page, requests, check };
  }

  return {
    server,
    browser,
    url,
    newPage,
    /** Opens the page, runs `visit`, and then asserts that nothing went wrong. */
    async withPage(visit, { query = '', expectedFailures, others, init, ...contextOptions } = {}) {
      const context = await browser.newContext({
        viewport: { width: 1100, height: 800 },
        serviceWorkers: 'block',
        ...contextOptions,
      });
      try {
        const { page, requests, check } = await newPage(context, { expectedFailures, others });
        if (init) await page.addInitScript(init);
        await open(page, url + query);
        await visit(page, requests, context);
        check();
      } finally {
        await context.close();
      }
    },
    async close() {
      await browser?.close();
      await server?.close();
    },
  };
}

/** Opens the page and waits until it knows its pictures. */
export async function open(page, url) {
  await page.goto(url);
  await isOpen(page);
}

export const isOpen = (page) => page.locator('body[data-state=open]').waitFor();

/** Waits until so many pictures are there and all are read. */
export async function allRead(page, count) {
  const text = `${count.toLocaleString('en')} picture${count === 1 ? '' : 's'}`;
  await page.locator('#summary', { hasText: text }).waitFor();
  await page.locator('#progress').waitFor({ state: 'hidden' });
}

/** Adds the sample pictures, or some of them, to as many others. */
export async function addSamples(page, wanted = samples, others = 0) {
  if (wanted !== samples)
    await page.route('**/pictures/index.txt', (route) => route.fulfill({ body: wanted.join('\n') }));
  await page.getByRole('button', { name: 'Try sample pictures' }).click();
  await allRead(page, wanted.length + others);
}

export const addFew = (page, others) => addSamples(page, few, others);

/**
 * The bytes of the file that a click hands over. Over WebDriver BiDi nobody is told of it: there it is taken from the link.
 * @param {() => Promise<void>} click
 * @returns {Promise<Buffer>}
 */
export async function downloaded(page, click) {
  if (!isFirefox) {
    const [file] = await Promise.all([page.waitForEvent('download'), click()]);
    return readFile(await file.path());
  }
  await page.evaluate(() => {
    const blobs = new Map();
    const { createObjectURL } = URL;
    URL.createObjectURL = (blob) => {
      const url = createObjectURL.call(URL, blob);
      blobs.set(url, blob);
      return url;
    };
    globalThis.handedOver = new Promise((resolve) => {
      HTMLAnchorElement.prototype.click = function () {
        resolve(blobs.get(this.href));
      };
    });
  });
  await click();
  return Buffer.from(
    await page.evaluate(async () => [...new Uint8Array(await (await globalThis.handedOver).arrayBuffer())]),
  );
}

export const searchbox = (page) => page.getByRole('searchbox', { name: 'Describe what you are looking for' });

export async function search(page, words) {
  await searchbox(page).fill(words);
  // The title comes with the order.
  await page.locator('#grid h2', { hasText: `“${words}”` }).waitFor();
}

/** The names of the tiles that are drawn, in their order. */
export const names = (page) =>
  page.evaluate(() =>
    [...document.querySelectorAll('.tile')]
      .sort((a, b) => a.ariaPosInSet - b.ariaPosInSet)
      .map((tile) => tile.querySelector('.name').textContent),
  );
export const firstName = async (page) => (await names(page))[0];
export const titles = (page) => page.locator('#grid h2:visible').allTextContents();
