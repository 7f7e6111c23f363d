// The demo page in Chromium, as a visitor uses it, with the bundled model and under the strict Content-Security-Policy.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';

import { serve } from '../../web/cli/server.js';
import { launch } from './chromium.mjs';

const DIST = new URL('../../dist/', import.meta.url);

let server;
let browser;
let samples;

before(async () => {
  // Below a path of its own: nothing on the page may count on standing at the root.
  server = await serve({ root: { '/some/where/': DIST } });
  samples = (await readFile(new URL('demo/pictures/index.txt', DIST), 'utf8')).split('\n').filter(Boolean);
  browser = await launch('--disable-quic');
});

after(async () => {
  await browser?.close();
  await server?.close();
});

/**
 * Opens the page, runs `visit`, and then asserts that nothing was written to the console, no policy was violated and no
 * other origin was asked for anything.
 */
async function withPage(visit, { query = '', expectedFailures = /^$/, ...options } = {}) {
  const context = await browser.newContext({ viewport: { width: 1100, height: 800 }, ...options });
  const page = await context.newPage();
  const complaints = [];
  const requests = [];
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type()) && !expectedFailures.test(message.text()))
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
  try {
    await page.goto(`${server.url}/some/where/demo/${query}`);
    await visit(page, requests);
    assert.deepEqual(complaints, []);
    const elsewhere = requests.filter(
      (url) => !url.startsWith(`${server.url}/`) && !url.startsWith('blob:') && !url.startsWith('data:'),
    );
    assert.deepEqual(elsewhere, []);
  } finally {
    await context.close();
  }
}

const fetched = (requests, tower) => requests.filter((url) => url.includes(`-${tower}.safetensors`)).length;
const firstName = (page) => page.locator('.tile .name').first().textContent();
const picture = async (name) => ({
  name,
  mimeType: name.endsWith('.png') ? 'image/png' : 'image/jpeg',
  buffer: await readFile(new URL(`demo/pictures/${name}`, DIST)),
});
const sample = (pattern) => samples.find((name) => pattern.test(name));

async function addSamples(page) {
  await page.getByRole('button', { name: 'Try sample pictures' }).click();
  await page.locator('#summary:visible').waitFor();
  assert.equal(await page.locator('.tile[data-state=ready]').count(), samples.length);
}

async function search(page, words) {
  await page.getByRole('searchbox').fill(words);
  // The announcement comes once the order has settled.
  await page.locator('#announcements', { hasText: `“${words}”` }).waitFor({ state: 'attached' });
}

test('sample pictures are embedded by the image half and ordered by words, one half in memory at a time', () =>
  withPage(async (page, requests) => {
    assert.equal(fetched(requests, 'image') + fetched(requests, 'text'), 0, 'no weights before they are needed');
    await addSamples(page);
    assert.ok(fetched(requests, 'image') > 0);
    assert.equal(fetched(requests, 'text'), 0, 'the text half is not fetched for pictures');
    assert.match(await page.locator('#tower-image').textContent(), /MB in memory.*fetched.*a picture/);

    await search(page, 'a cat');
    assert.ok(fetched(requests, 'text') > 0);
    assert.match(await page.locator('#tower-image').textContent(), /released/);
    assert.match(await page.locator('#tower-text').textContent(), /MB in memory.*fetched.*a text/);
    const best = await page.locator('.tile.best .name').allTextContents();
    assert.equal(best.length, 3);
    assert.ok(
      best.some((name) => /cat/.test(name)),
      `'a cat' found ${best}`,
    );

    const scores = (await page.locator('.tile .score').allTextContents()).map(Number);
    assert.deepEqual(
      scores,
      scores.toSorted((a, b) => b - a),
      'the best comes first',
    );

    await search(page, 'an airplane');
    assert.match(await firstName(page), /airplane/);
    assert.match(await page.locator('#whole').textContent(), /SIMD.*both at fp32/);

    await page.getByRole('searchbox').fill('');
    await page.locator('.tile.scored').first().waitFor({ state: 'detached' });
    assert.equal(await page.locator('.tile').count(), samples.length);
  }));

test('the newest of many quick keys wins', () =>
  withPage(async (page) => {
    await addSamples(page);
    await page.getByRole('searchbox').pressSequentially('a cat in the rain and then an airplane', { delay: 5 });
    await page.getByRole('searchbox').fill('an airplane');
    await page.locator('#announcements', { hasText: '“an airplane”' }).waitFor({ state: 'attached' });
    assert.match(await firstName(page), /airplane/);
  }));

test('all of it by keyboard: into the grid, along its rows, and to similar pictures', () =>
  withPage(async (page) => {
    await addSamples(page);
    const focusedPlace = () =>
      page.evaluate(() => [...document.querySelectorAll('.open')].indexOf(document.activeElement));
    await page.getByRole('searchbox').press('ArrowDown');
    assert.equal(await focusedPlace(), 0);
    await page.keyboard.press('ArrowRight');
    await page.keyboard.press('ArrowRight');
    assert.equal(await focusedPlace(), 2);
    await page.keyboard.press('ArrowDown');
    const columns = (await focusedPlace()) - 2;
    assert.ok(columns > 1);
    await page.keyboard.press('ArrowUp');
    await page.keyboard.press('ArrowLeft');
    assert.equal(await focusedPlace(), 1);
    await page.keyboard.press('End');
    assert.equal(await focusedPlace(), samples.length - 1);
    assert.equal(await page.locator('.open[tabindex="0"]').count(), 1, 'one tab stop in the grid');

    const name = await page.evaluate(() => document.activeElement.querySelector('.name').textContent);
    await page.keyboard.press('Enter');
    await page.locator('#similar:visible').waitFor();
    assert.equal(await firstName(page), name, 'a picture is most like itself');
    assert.equal(await page.locator('.tile .score').first().textContent(), '1.00');
    assert.equal(await focusedPlace(), 0, 'the focus stays on the picture');
    await page.getByRole('button', { name: 'Stop looking for similar pictures' }).click();
    assert.equal(await page.locator('.tile.scored').count(), 0);
  }));

test('the second tab compares sentences with the text half alone', () =>
  withPage(async (page, requests) => {
    await page.getByRole('tab', { name: 'Find pictures' }).focus();
    await page.keyboard.press('ArrowRight');
    assert.equal(await page.getByRole('tab', { name: 'Compare sentences' }).getAttribute('aria-selected'), 'true');
    await page.locator('#pairs li').first().waitFor();
    assert.equal(fetched(requests, 'image'), 0);

    const textarea = page.getByRole('textbox', { name: 'One sentence a line' });
    await textarea.fill('a cat face\nan airplane\na smiling cat\n\n  an airplane  \n');
    await page.locator('#matrix tr:nth-child(4)').waitFor();
    await page.locator('#matrix tr:nth-child(5)').waitFor({ state: 'detached' });
    assert.equal(await page.locator('#matrix td:not(:empty)').count(), 6, 'three different sentences, each pair twice');
    assert.deepEqual(await page.locator('#pairs li').first().locator('.words > span').allTextContents(), [
      'a cat face',
      'a smiling cat',
    ]);

    await textarea.fill('');
    await page.locator('#pairs li').first().waitFor({ state: 'detached' });

    await page.getByRole('tab', { name: 'Compare sentences' }).focus();
    await page.keyboard.press('Home');
    assert.ok(await page.getByRole('searchbox').isVisible());
    assert.ok(!(await textarea.isVisible()));
  }));

test('an unreadable picture is named in an alert, and the others go on', () =>
  withPage(async (page) => {
    const cat = sample(/cat/);
    await page
      .locator('#files')
      .setInputFiles([
        { name: 'notes.png', mimeType: 'image/png', buffer: Buffer.from('these are notes') },
        await picture(cat),
        { name: 'empty.jpg', mimeType: 'image/jpeg', buffer: Buffer.alloc(0) },
      ]);
    await page.getByRole('alert').filter({ hasText: '2 pictures could not be read' }).waitFor();
    const message = await page.getByRole('alert').textContent();
    assert.match(message, /notes\.png/);
    assert.match(message, /empty\.jpg/);
    await page.locator('.tile[data-state=ready]').waitFor();
    assert.equal(await page.locator('.tile').count(), 1);

    await page.getByRole('button', { name: 'Dismiss' }).click();
    assert.equal(await page.getByRole('alert').textContent(), '');
    await search(page, 'a cat');
    await page.getByRole('button', { name: 'Remove all' }).click();
    assert.equal(await page.locator('.tile').count(), 0);
    assert.ok(await page.locator('#empty').isVisible());
  }));

test('weights that are not there are an alert, and trying again recovers', () =>
  withPage(
    async (page) => {
      let missing = true;
      await page.route('**/*-image.safetensors', (route) =>
        missing ? route.fulfill({ status: 404, body: 'no' }) : route.continue(),
      );
      await page.locator('#files').setInputFiles([await picture(sample(/cat/))]);
      const alert = page.getByRole('alert').filter({ hasText: 'The image half could not be loaded' });
      await alert.waitFor();
      assert.match(await alert.textContent(), /404/);
      await page.getByRole('searchbox').fill('a cat');
      await page.locator('#tower-text', { hasText: 'in memory' }).waitFor();

      missing = false;
      await page.getByRole('button', { name: 'Try again' }).click();
      await page.locator('#announcements', { hasText: '“a cat”: 1 picture in order' }).waitFor({ state: 'attached' });
      assert.equal(await page.getByRole('alert').textContent(), '');
    },
    { expectedFailures: /404/ },
  ));

test('pictures that are dropped and pictures that are pasted', () =>
  withPage(async (page) => {
    const names = [sample(/cat/), sample(/airplane/)];
    const send = (type, name) =>
      page.evaluate(
        async ([event, url]) => {
          const data = new DataTransfer();
          data.items.add(
            new File([await (await fetch(url)).blob()], url.split('/').pop(), {
              type: url.endsWith('.png') ? 'image/png' : 'image/jpeg',
            }),
          );
          const init = { bubbles: true, cancelable: true };
          if (event === 'paste')
            document.body.dispatchEvent(new ClipboardEvent('paste', { ...init, clipboardData: data }));
          else document.body.dispatchEvent(new DragEvent(event, { ...init, dataTransfer: data }));
        },
        [type, `pictures/${name}`],
      );
    await page.getByRole('tab', { name: 'Compare sentences' }).click();
    await send('dragover', names[0]);
    await page.locator('#drop-hint:visible').waitFor();
    await send('drop', names[0]);
    await page.locator('.tile').first().waitFor();
    assert.ok(!(await page.locator('#drop-hint').isVisible()));
    await send('paste', names[1]);
    await page.locator('.tile[data-state=ready]').nth(1).waitFor();
    assert.equal(await page.locator('.tile').count(), 2);
  }));

test('a narrow, dark screen without motion holds the page without scrolling sideways', () =>
  withPage(
    async (page) => {
      await addSamples(page);
      await search(page, 'an airplane');
      const overflow = () => page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok((await overflow()) <= 0);
      assert.equal(await page.evaluate(() => document.getAnimations().length), 0);
      await page.getByRole('tab', { name: 'Compare sentences' }).click();
      await page.locator('#pairs li').first().waitFor();
      assert.ok((await overflow()) <= 0);
    },
    { viewport: { width: 375, height: 700 }, colorScheme: 'dark', reducedMotion: 'reduce' },
  ));
