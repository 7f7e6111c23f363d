// The page, as a visitor uses it, with the bundled model: finding pictures, by words and by pictures.

import assert from 'node:assert/strict';
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';

import { VectorIndex } from '../../dist/vector-index.js';
import { isFirefox } from './engine.mjs';
import {
  DIST,
  addFew,
  addSamples,
  allRead,
  downloaded,
  few,
  firstName,
  names,
  picture,
  sample,
  samples,
  search,
  searchbox,
  startPage,
  titles,
} from './page-support.mjs';

let place;

before(async () => (place = await startPage()));
after(() => place?.close());

const withPage = (visit, options) => place.withPage(visit, options);
const fetched = (requests, tower) => requests.filter((url) => url.includes(`-${tower}.safetensors`)).length;

/** Sends a drop or a paste with a sample picture in it. */
const send = (page, type, name, target = 'body') =>
  page.evaluate(
    async ([event, url, where]) => {
      const data = new DataTransfer();
      const blob = await (await fetch(url)).blob();
      data.items.add(new File([blob], url.split('/').pop(), { type: 'image/jpeg' }));
      const init = { bubbles: true, cancelable: true };
      const made =
        event === 'paste' ? new ClipboardEvent('paste', init) : new DragEvent(event, { ...init, dataTransfer: data });
      if (event === 'paste') Object.defineProperty(made, 'clipboardData', { value: data }); // Firefox takes no files here
      document.querySelector(where).dispatchEvent(made);
    },
    [type, `pictures/${name}`, target],
  );

const download = (page, name) => downloaded(page, () => page.getByRole('button', { name }).click());

test('what is dropped or clicked while the page still opens is added when it is open', () =>
  withPage(async (page) => {
    let go;
    const held = new Promise((resolve) => (go = resolve));
    await page.route('**/served.json', (route) => held.then(() => route.continue()));
    await page.reload({ waitUntil: 'commit' });
    await page.locator('#add-samples[disabled]').waitFor();
    await page.waitForLoadState('load');
    await send(page, 'drop', sample(/^tiger/));
    const click = addSamples(page, few, 1);
    go();
    await click;
  }));

test('sample pictures are read by the image half and ordered by words; those that fit come first', () =>
  withPage(async (page, requests) => {
    assert.equal(fetched(requests, 'image') + fetched(requests, 'text'), 0, 'no weights before they are needed');
    await addSamples(page);
    assert.ok(fetched(requests, 'image') > 0);
    assert.equal(fetched(requests, 'text'), 0, 'the text half is not fetched for pictures');
    assert.match(await page.locator('#tower-image').textContent(), /MB in memory.*fetched.*a picture/);

    await search(page, 'a cat');
    assert.ok(fetched(requests, 'text') > 0);
    assert.match(await firstName(page), /cat/);
    const [first, second] = await titles(page);
    assert.match(first, /^\d pictures? fits? “a cat” \(score 0\.\d\d and more\)$/);
    assert.equal(second, 'Less likely');
    const least = Number(/0\.\d\d/.exec(first)[0]);
    const scores = (await page.locator('.tile .score').allTextContents()).map(Number).sort((a, b) => b - a);
    assert.equal(scores.filter((score) => score >= least).length, Number.parseInt(first));

    await search(page, 'an airplane');
    assert.match(await firstName(page), /airplane/);
    assert.match(await page.locator('#whole').textContent(), /SIMD.*both at fp32/);

    await searchbox(page).fill('');
    await page.locator('.tile.scored').first().waitFor({ state: 'detached' });
    assert.deepEqual(await names(page), (await names(page)).toSorted(), 'the order in which they came');
  }));

test('what no picture shows is said to fit none', () =>
  withPage(async (page) => {
    await addSamples(page);
    for (const words of ['a refrigerator', 'a zebra', 'a ghost']) {
      await search(page, words);
      assert.match((await titles(page))[0], new RegExp(`^Nothing fits “${words}” \\(score 0\\.\\d\\d and more\\)`));
    }
    for (const [words, name] of [
      ['pizza', /pizza/],
      ['a red heart', /heart/],
      ['an owl', /owl/],
    ]) {
      await search(page, words);
      assert.match((await titles(page))[0], /fits? “/, words);
      assert.match(await firstName(page), name);
    }
  }));

test('words minus words', () =>
  withPage(async (page) => {
    await addFew(page);
    await search(page, 'fruit');
    assert.match(await firstName(page), /banana/);
    await search(page, 'fruit -banana');
    assert.match(await firstName(page), /apple/);
    await search(page, 'fruit -"a banana" -apple');
    assert.doesNotMatch(await firstName(page), /apple|banana/);
  }));

test('the newest of many quick keys wins', () =>
  withPage(async (page) => {
    await addFew(page);
    await searchbox(page).pressSequentially('a cat in the rain and then an airplane', { delay: 5 });
    await search(page, 'an airplane');
    assert.match(await firstName(page), /airplane/);
  }));

test('all of it by keyboard: into the grid, along its rows, to similar pictures, and away', () =>
  withPage(async (page) => {
    await addFew(page);
    const focused = () => page.evaluate(() => Number(document.activeElement.closest('.tile')?.ariaPosInSet) - 1);
    await searchbox(page).press('ArrowDown');
    assert.equal(await focused(), 0);
    await page.keyboard.press('ArrowRight');
    await page.keyboard.press('ArrowRight');
    assert.equal(await focused(), 2);
    await page.keyboard.press('ArrowDown');
    const columns = (await focused()) - 2;
    assert.ok(columns > 1);
    await page.keyboard.press('ArrowUp');
    await page.keyboard.press('ArrowLeft');
    assert.equal(await focused(), 1);
    await page.keyboard.press('End');
    assert.equal(await focused(), few.length - 1);
    assert.equal(await page.locator('.open[tabindex="0"]').count(), 1, 'one tab stop in the grid');

    const name = await page.evaluate(() => document.activeElement.querySelector('.name').textContent);
    await page.keyboard.press('s');
    await page.locator('#similar:visible').waitFor();
    await page.locator('.tile.scored').first().waitFor();
    assert.equal(await firstName(page), name, 'a picture is most like itself');
    assert.equal(await page.locator('.tile[aria-posinset="1"] .score').textContent(), '1.00');
    assert.equal(await focused(), 0, 'the focus stays on the picture');

    await page.keyboard.press('Delete');
    await allRead(page, few.length - 1);
    await page.waitForTimeout(600); // as long as the order may change because of what has gone
    assert.equal(await page.locator('.tile.scored').count(), few.length - 1, 'those like it stay');
    assert.ok(!(await names(page)).includes(name));
    assert.ok((await focused()) >= 0, 'the focus goes to a neighbour');
    await page.getByRole('button', { name: 'Stop looking for similar pictures' }).press('Enter');
    await page.locator('.tile.scored').first().waitFor({ state: 'detached' });

    await searchbox(page).press('ArrowDown');
    const hidden = await firstName(page);
    await page.keyboard.press('h');
    await page.locator('#summary', { hasText: ` of ${few.length - 1} pictures` }).waitFor();
    assert.ok(!(await names(page)).includes(hidden));
    await page.getByLabel('Hidden ones').check();
    assert.ok((await names(page)).includes(hidden));
  }));

test('a picture opens large, with its path, similar ones and what can be done with it', () =>
  withPage(
    async (page) => {
      await addFew(page);
      const name = sample(/^cat-face\./);
      await page.locator('.tile .open', { hasText: name }).click();
      const viewer = page.getByRole('dialog');
      assert.equal(await viewer.getByRole('heading', { level: 2 }).textContent(), name);
      assert.equal(await viewer.locator('.path').textContent(), name);
      await page.waitForFunction(() => document.querySelector('#viewer-picture').naturalWidth > 100);
      await viewer.locator('#alikes button').nth(7).waitFor();

      await viewer.getByRole('button', { name: 'Copy path' }).click();
      assert.equal(await page.evaluate(() => navigator.clipboard.readText()), name);
      await viewer.getByRole('button', { name: 'Copy picture' }).click();
      await viewer.getByText('The picture is in the clipboard').waitFor();
      if (!isFirefox) {
        const types = await page.evaluate(async () => (await navigator.clipboard.read())[0].types);
        assert.deepEqual(types, ['image/png']);
      } // which has no clipboard for pictures without a screen

      await page.keyboard.press('ArrowRight');
      const next = few.toSorted()[few.toSorted().indexOf(name) + 1];
      assert.equal(await viewer.getByRole('heading', { level: 2 }).textContent(), next);
      await viewer.getByRole('button', { name: 'Previous picture' }).click();
      await viewer.getByRole('button', { name: 'Find similar' }).click();
      await page.locator('.tile.scored').first().waitFor();
      assert.equal(await firstName(page), name);

      await page.locator('.tile .open').first().press('Enter');
      await viewer.getByRole('button', { name: 'Remove from this page' }).click();
      await page.keyboard.press('Escape');
      await allRead(page, few.length - 1);
      assert.ok(!(await names(page)).includes(name));
    },
    { permissions: isFirefox ? [] : ['clipboard-read', 'clipboard-write'] },
  ));

test('by a picture: dropped or pasted on the search field it is looked for, elsewhere it is added', () =>
  withPage(async (page) => {
    const [cat, airplane] = [sample(/^cat-face\./), sample(/airplane/)];
    await page.getByRole('tab', { name: 'Compare sentences' }).click();
    await send(page, 'dragover', cat);
    await page.locator('#drop-hint:visible').waitFor();
    await send(page, 'drop', cat);
    await allRead(page, 1);
    assert.ok(!(await page.locator('#drop-hint').isVisible()));
    await page.evaluate(() => document.activeElement.blur());
    await send(page, 'paste', airplane);
    await allRead(page, 2);

    const count = few.length + 2;
    await addFew(page, 2);
    await send(page, 'drop', airplane, '#field');
    await page.locator('#similar:visible').waitFor();
    await page.locator('.tile.scored').first().waitFor();
    assert.equal(await firstName(page), airplane);
    assert.equal(await page.locator('#summary').textContent(), `${count} pictures`, 'it was not added again');
    await searchbox(page).focus();
    await send(page, 'paste', cat);
    await page.locator('#announcements', { hasText: `Like ${cat}` }).waitFor({ state: 'attached' });
    assert.equal(await firstName(page), cat);
  }));

/** Chooses a folder with the chooser that every browser has. BiDi knows none of folders: there it is filled in. */
async function chooseFolder(page, folder, files) {
  if (!isFirefox) return page.locator('#folder').setInputFiles(folder);
  const entries = await Promise.all(
    files.map(async (file) => [file, (await readFile(path.join(folder, file))).toString('base64')]),
  );
  await page.evaluate(
    ([root, all]) => {
      const data = new DataTransfer();
      for (const [place, base64] of all) {
        const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
        const type = place.endsWith('.jpg') ? 'image/jpeg' : '';
        const file = new File([bytes], place.split('/').at(-1), { type });
        data.items.add(Object.defineProperty(file, 'webkitRelativePath', { value: `${root}/${place}` }));
      }
      const chooser = document.getElementById('folder');
      Object.defineProperty(chooser, 'files', { value: data.files, configurable: true });
      chooser.dispatchEvent(new Event('change', { bubbles: true }));
    },
    [path.basename(folder), entries],
  );
}

test('a folder by the chooser that every browser has: what is no picture stays out', () =>
  withPage(async (page) => {
    const folder = await mkdtemp(path.join(tmpdir(), 'halfclip-folder-'));
    try {
      await mkdir(path.join(folder, 'Rome'));
      const put = (name, place) => copyFile(new URL(`demo/pictures/${name}`, DIST), path.join(folder, place));
      await put(sample(/^cat-face\./), 'cat.jpg');
      await put(sample(/pizza/), 'Rome/pizza.jpg');
      await writeFile(path.join(folder, 'notes.txt'), 'these are notes');
      await chooseFolder(page, folder, ['Rome/pizza.jpg', 'cat.jpg', 'notes.txt']);
      await allRead(page, 2);
      await page.locator('.tile', { hasText: 'pizza.jpg' }).locator('.open').click();
      const place = await page.locator('#viewer-path').textContent();
      assert.equal(place, `${path.basename(folder)}/Rome/pizza.jpg`);
    } finally {
      await rm(folder, { recursive: true });
    }
  }));

test('look-alikes, folders, dates', () =>
  withPage(async (page) => {
    const files = [sample(/^cat-face\./), sample(/pizza/), sample(/^tiger/)];
    await page.locator('#files').setInputFiles(await Promise.all(files.map(picture)));
    await allRead(page, 3);
    await page.locator('#files').setInputFiles({ ...(await picture(files[1])), name: 'again.jpg' });
    await allRead(page, 4);
    await page.getByLabel('Look-alikes').check();
    await page.getByRole('heading', { name: 'Group 1: 2 pictures' }).waitFor();
    assert.deepEqual(await names(page), [files[1], 'again.jpg']);
    await page.getByLabel('Look-alikes').uncheck();
    await page.getByLabel('To', { exact: true }).fill('2001-01-01');
    await page.locator('#summary', { hasText: '0 of 4 pictures' }).waitFor();
    await page.getByLabel('To', { exact: true }).fill('');
    await page.getByLabel('From', { exact: true }).fill('2001-01-01');
    await page.locator('#summary', { hasText: /^4 pictures$/ }).waitFor();
  }));

test('what is shown is exported: names, a table, an index', () =>
  withPage(async (page) => {
    await addFew(page);
    await search(page, 'pizza');
    const fits = Number.parseInt((await titles(page))[0]);
    const listed = String(await download(page, 'Names'))
      .trim()
      .split('\n');
    assert.equal(listed.length, fits);
    assert.match(listed[0], /pizza/);
    const rows = String(await download(page, 'CSV'))
      .trim()
      .split('\r\n');
    assert.equal(rows[0], 'path,name,bytes,modified,score');
    assert.equal(rows.length, 1 + fits);
    await searchbox(page).fill('');
    await page.locator('.tile.scored').first().waitFor({ state: 'detached' });
    const index = await VectorIndex.load(await download(page, 'Index'));
    assert.equal(index.size, few.length);
    assert.equal(index.search(index.get(listed[0]).vector, { limit: 1 })[0].id, listed[0]);
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

    await page.getByRole('button', { name: 'Dismiss' }).click();
    await allRead(page, 1);
    assert.equal(await page.getByRole('alert').textContent(), '');
  }));

test('weights that are not there are an alert, and trying again recovers', () =>
  withPage(
    async (page) => {
      let missing = true;
      await page.route('**/*-image.safetensors', (route) =>
        missing ? route.fulfill({ status: 404, body: 'no' }) : route.continue(),
      );
      await page.locator('#files').setInputFiles([await picture(sample(/cat/))]);
      const alert = page.getByRole('alert').filter({ hasText: 'Pictures could not be read on' });
      await alert.waitFor();
      assert.match(await alert.textContent(), /404/);
      await searchbox(page).fill('a cat');

      missing = false;
      await page.getByRole('button', { name: 'Try again' }).click();
      await page.locator('#announcements', { hasText: '“a cat”: 1 picture in order' }).waitFor({ state: 'attached' });
      assert.equal(await page.getByRole('alert').textContent(), '');
    },
    { expectedFailures: /404/ },
  ));
