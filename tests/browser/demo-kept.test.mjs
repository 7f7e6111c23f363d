// What the page keeps: pictures, vectors and folders are there again after a reload, whatever came between.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { isFirefox } from './engine.mjs';
import {
  addFew,
  allRead,
  few,
  firstName,
  isOpen,
  names,
  open,
  picture,
  sample,
  samples,
  search,
  startPage,
} from './page-support.mjs';

let place;

before(async () => (place = await startPage()));
after(() => place?.close());

const withPage = (visit, options) => place.withPage(visit, options);

/** Puts sample pictures into a folder of the origin's own, whose handle is what a chooser would give. */
const fillFolder = (page, files) =>
  page.evaluate(async (paths) => {
    const root = await (await navigator.storage.getDirectory()).getDirectoryHandle('Holidays', { create: true });
    for (const [path, sample] of paths) {
      const parts = path.split('/');
      let folder = root;
      for (const part of parts.slice(0, -1)) folder = await folder.getDirectoryHandle(part, { create: true });
      const file = await folder.getFileHandle(parts.at(-1), { create: true });
      const stream = await file.createWritable();
      await stream.write(await (await fetch(`pictures/${sample}`)).blob());
      await stream.close();
    }
  }, files);

/** In place of the browser's choosers and its questions, which no test can click. */
const choosers = () => {
  if (!globalThis.FileSystemHandle) return; // the blank page before
  const root = () => navigator.storage.getDirectory();
  globalThis.showDirectoryPicker = async () => (await root()).getDirectoryHandle('Holidays', { create: true });
  FileSystemHandle.prototype.queryPermission = async () => {
    for await (const name of (await root()).keys()) if (name === 'denied') return 'prompt';
    return 'granted';
  };
  FileSystemHandle.prototype.requestPermission = async () => {
    await (await root()).removeEntry('denied');
    return 'granted';
  };
};

const deny = (page) =>
  page.evaluate(async () => (await navigator.storage.getDirectory()).getFileHandle('denied', { create: true }));

test('after a reload everything is there at once, and nothing is read again', () =>
  withPage(async (page, requests) => {
    await addFew(page);
    await search(page, 'an airplane');
    await page.reload();
    await isOpen(page);
    await allRead(page, few.length);
    await page.locator('.tile img').first().waitFor();
    assert.deepEqual((await names(page)).slice(0, 3), few.toSorted().slice(0, 3));
    const count = requests.filter((url) => url.includes('-image.safetensors')).length;
    await search(page, 'an airplane');
    assert.match(await firstName(page), /airplane/);
    assert.equal(requests.filter((url) => url.includes('-image.safetensors')).length, count);
  }));

test('a folder is found again: only what is new is read, what has gone leaves, and a picture opens from its file', () =>
  withPage(
    async (page) => {
      const [cat, pizza, owl] = [sample(/^cat-face\./), sample(/pizza/), sample(/owl/)];
      await fillFolder(page, [
        ['cat.jpg', cat],
        ['Rome/pizza.jpg', pizza],
      ]);
      await page.getByRole('button', { name: 'Add a folder' }).click();
      await allRead(page, 2);
      await page.locator('.tile', { hasText: 'pizza.jpg' }).locator('.open').click();
      assert.equal(await page.locator('#viewer-path').textContent(), 'Holidays/Rome/pizza.jpg');
      await page.getByText(/kB$/).waitFor();
      await page.keyboard.press('Escape');

      await fillFolder(page, [['Rome/owl.jpg', owl]]);
      await page.evaluate(async () => {
        const root = await (await navigator.storage.getDirectory()).getDirectoryHandle('Holidays');
        await root.removeEntry('cat.jpg');
      });
      await page.reload();
      await isOpen(page);
      await page.locator('.tile', { hasText: 'owl.jpg' }).waitFor();
      await allRead(page, 2);
      assert.deepEqual(await names(page), ['pizza.jpg', 'owl.jpg']);
      await page.getByRole('combobox', { name: 'Folder' }).selectOption('Holidays/Rome');
      await page.locator('#summary', { hasText: /^2 pictures$/ }).waitFor();
    },
    { init: choosers },
  ));

test('a folder whose permission was revoked stays, and one click gives access', () =>
  withPage(
    async (page) => {
      await fillFolder(page, [['cat.jpg', sample(/^cat-face\./)]]);
      await page.getByRole('button', { name: 'Add a folder' }).click();
      await allRead(page, 1);
      await fillFolder(page, [['pizza.jpg', sample(/pizza/)]]);
      await deny(page);
      // What the page's worker is told by the browser.
      await page.route('**/library-worker.js', async (route) => {
        const response = await route.fetch();
        await route.fulfill({ response, body: `(${choosers})();\n${await response.text()}` });
      });
      await page.reload();
      await isOpen(page);
      await page.getByRole('alert').filter({ hasText: 'What is new in “Holidays” is found once' }).waitFor();
      await allRead(page, 1);
      await page.locator('.tile .open').click();
      await page.getByText('This is the small copy').waitFor();
      await page.keyboard.press('Escape');
      await page.getByRole('button', { name: 'Give access' }).click();
      await allRead(page, 2);
      assert.equal(await page.getByRole('alert').textContent(), '');
    },
    { init: choosers },
  ));

test('files that were handed over open as they are, and after a reload as their small copy', () =>
  withPage(async (page) => {
    const name = sample(/^cat-face\./);
    await page.locator('#files').setInputFiles(await picture(name));
    await allRead(page, 1);
    await page.locator('.tile .open').click();
    await page.getByText(/kB$/).waitFor();
    await page.reload();
    await isOpen(page);
    await page.locator('.tile .open').click();
    await page.getByText('This is the small copy').waitFor();
    await page.waitForFunction(() => document.querySelector('#viewer-picture').naturalWidth > 100);
    await page.keyboard.press('Escape');
    await page.locator('#files').setInputFiles(await picture(name));
    await allRead(page, 1);
  }));

test('a page that is closed in the middle of reading goes on where it was', () =>
  withPage(async (page) => {
    await page.getByRole('button', { name: 'Try sample pictures' }).click();
    await page.locator('.tile[data-state=ready]').nth(3).waitFor();
    await page.reload();
    await isOpen(page);
    const known = Number.parseInt(await page.locator('#summary').textContent());
    assert.ok(known === samples.length || known === 0 || Number.isNaN(known), `${known} pictures`);
    if (!(known > 0)) await page.getByRole('button', { name: 'Try sample pictures' }).click();
    await allRead(page, samples.length);
    await search(page, 'an airplane');
    assert.match(await firstName(page), /airplane/);
  }));

test('pause, go on, cancel', () =>
  withPage(async (page) => {
    await page.getByRole('button', { name: 'Try sample pictures' }).click();
    await page.getByRole('button', { name: 'Pause' }).click();
    await page.getByText(/\d+ of 58 pictures · paused/).waitFor();
    await page.waitForTimeout(300);
    const text = await page.locator('#progress-text').textContent();
    await page.waitForTimeout(700);
    assert.equal(await page.locator('#progress-text').textContent(), text, 'nothing goes on');
    await page.getByRole('button', { name: 'Continue' }).click();
    await allRead(page, samples.length);

    await page.getByRole('tab', { name: 'Model and storage' }).click();
    await page.getByRole('button', { name: 'Remove everything' }).click();
    await page.getByRole('button', { name: 'Yes, remove pictures, vectors and models' }).click();
    await page.getByRole('tab', { name: 'Find pictures' }).click();
    await page.locator('#empty').waitFor();
    await page.getByRole('button', { name: 'Try sample pictures' }).click();
    await page.getByRole('button', { name: 'Cancel' }).click();
    await page.locator('#announcements', { hasText: 'Cancelled' }).waitFor({ state: 'attached' });
    await page.waitForFunction(() => !document.querySelector('.tile[data-state=waiting]'));
    const count = Number.parseInt(await page.locator('#summary').textContent());
    assert.ok(!(count >= samples.length), `${count} pictures were read before it was cancelled`);
  }));

test('remove everything leaves nothing, now and after a reload', () =>
  withPage(async (page) => {
    await addFew(page);
    await page.getByRole('tab', { name: 'Model and storage' }).click();
    await page.getByText(/ are used, of /).waitFor();
    await page.getByRole('button', { name: 'Remove everything' }).click();
    await page.getByRole('button', { name: 'Yes, remove pictures, vectors and models' }).click();
    await page.locator('#announcements', { hasText: 'Everything is removed' }).waitFor({ state: 'attached' });
    const files = await page.evaluate(async () => {
      const all = [];
      const walk = async (folder, path) => {
        for await (const [name, handle] of folder.entries()) {
          if (handle.kind === 'file') all.push(path + name);
          else await walk(handle, `${path}${name}/`);
        }
      };
      await walk(await navigator.storage.getDirectory(), '');
      return all;
    });
    assert.deepEqual(files, []);
    await page.reload();
    await isOpen(page);
    assert.ok(await page.locator('#empty').isVisible());
  }));

test('of two tabs one writes, the other searches, until it is asked to go on', () =>
  withPage(async (page, _, context) => {
    await addFew(page);
    const { page: other, check } = await place.newPage(context);
    await open(other, place.url);
    await other.getByText('These pictures are open in another tab').waitFor();
    assert.ok(await other.getByRole('button', { name: 'Add pictures' }).isDisabled());
    await search(other, 'an airplane');
    assert.match(await firstName(other), /airplane/);

    await other.getByRole('button', { name: 'Go on here' }).click();
    await page.getByText('These pictures are open in another tab').waitFor();
    await isOpen(other);
    await other.locator('#files').setInputFiles({ ...(await picture(sample(/owl/))), name: 'another.jpg' });
    await allRead(other, few.length + 1);
    assert.ok(await page.getByRole('button', { name: 'Add pictures' }).isDisabled());
    check();
  }));

test(
  'a full disk is said, nothing is lost, and it goes on once there is room',
  { skip: isFirefox && 'only Chromium lets a test set the quota' },
  () =>
    withPage(async (page, _, context) => {
      const session = await context.newCDPSession(page);
      const { origin } = new URL(place.url);
      await addFew(page);
      await session.send('Storage.overrideQuotaForOrigin', { origin, quotaSize: 1000 });
      await page.locator('#files').setInputFiles({ ...(await picture(sample(/owl/))), name: 'another.jpg' });
      await page.getByRole('alert').filter({ hasText: 'The disk is full' }).waitFor();
      await search(page, 'an airplane');
      assert.match(await firstName(page), /airplane/);

      await session.send('Storage.overrideQuotaForOrigin', { origin });
      await page.getByRole('button', { name: 'Try again' }).click();
      await allRead(page, few.length + 1);
      await page.reload();
      await isOpen(page);
      await allRead(page, few.length + 1);
    }),
);
