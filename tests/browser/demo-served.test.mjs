// `halfclip serve [folder]`: Node.js reads the pictures, the page searches them.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import sharp from 'sharp';

import { DIST, allRead, firstName, isOpen, names, open, sample, search, startPage } from './page-support.mjs';

const CLI = fileURLToPath(new URL('cli.js', DIST));

let place;
let folder;

before(async () => {
  place = await startPage();
  folder = await mkdtemp(path.join(tmpdir(), 'halfclip-served-'));
  await mkdir(path.join(folder, 'Rome, 100%'));
  const put = (pattern, name) => copyFile(new URL(`demo/pictures/${sample(pattern)}`, DIST), path.join(folder, name));
  await put(/^cat-face\./, 'cat.jpg');
  await sharp(fileURLToPath(new URL(`demo/pictures/${sample(/pizza/)}`, DIST)))
    .withExif({ IFD2: { DateTimeOriginal: '2019:07:14 12:30:05' } })
    .toFile(path.join(folder, 'Rome, 100%/pizza #1.jpg'));
  await put(/airplane/, 'Rome, 100%/flight.jpg');
});

after(async () => {
  await place?.close();
  await rm(folder, { recursive: true, force: true });
});

/** Runs the server for as long as `visit` takes. */
async function serving(args, visit) {
  const child = spawn(process.execPath, [CLI, 'serve', '--port', '0', ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  child.stdout.on('data', (chunk) => (output += chunk));
  try {
    while (!/\/demo\//.test(output)) await once(child.stdout, 'data');
    await visit(/http:\S+\/demo\//.exec(output)[0]);
  } finally {
    child.kill('SIGINT');
    await once(child, 'close');
  }
}

test('pictures of a folder are read by Node.js, and only searched in the page', () =>
  serving([folder, '--index', path.join(folder, '.pictures.index')], async (url) => {
    const context = await place.browser.newContext({ serviceWorkers: 'block' });
    try {
      const { page, requests } = await place.newPage(context, { others: [url] });
      await open(page, url);
      await allRead(page, 3);
      await search(page, 'an airplane');
      assert.equal(await firstName(page), 'flight.jpg');
      assert.equal(
        requests.filter((asked) => asked.includes('-image.safetensors')).length,
        0,
        'the image half stays out',
      );
      await page.locator('.tile img').nth(2).waitFor();
      await page.locator('.tile', { hasText: 'pizza #1.jpg' }).locator('.open').click();
      assert.equal(
        await page.locator('#viewer-path').textContent(),
        `${path.basename(folder)}/Rome, 100%/pizza #1.jpg`,
      );
      assert.match(await page.locator('#viewer-about').textContent(), /July 14, 2019/);
      await page.waitForFunction(() => document.querySelector('#viewer-picture').naturalWidth > 100);
      await page.keyboard.press('Escape');

      await page.reload();
      await isOpen(page);
      await allRead(page, 3);
      assert.equal((await names(page)).length, 3);
    } finally {
      await context.close();
    }
  }));
