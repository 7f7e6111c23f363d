// An app whose page embeds a film with the library mediabunny, as the package's README says, and a look at it.

import assert from 'node:assert/strict';
import { cpSync, mkdirSync } from 'node:fs';
import path from 'node:path';

import { cosineSimilarity, loadVideoEncoder } from '../../dist/index.js';
import { ROOT } from '../install.mjs';
import { makeKind } from '../node/videos.mjs';
import { makeApp } from './apps.mjs';

const MAIN = `
import { loadVideoEncoder } from 'halfclip';
import * as mediabunny from 'mediabunny';

window.run = async () => {
  const video = await loadVideoEncoder({ model: 'halfclip-emoji', mediabunny });
  const times = [];
  const vector = [...(await video.embed('/film.webm', { onFrame: ({ time }) => times.push(time) }))];
  video.dispose();
  return { vector, times };
};
`;

/** Makes the app's folder; ffmpeg makes the film. */
export async function makeFilmApp(folder, tarball) {
  makeApp(folder, tarball, { 'src/main.js': MAIN });
  cpSync(path.join(ROOT, 'node_modules/mediabunny'), path.join(folder, 'node_modules/mediabunny'), { recursive: true });
  mkdirSync(path.join(folder, 'public'), { recursive: true });
  await makeKind(path.join(folder, 'public'), 'film.webm');
}

/** Opens the page and compares with what Node.js makes of the same film, by another decoder. */
export async function checkFilmApp(browser, url, film) {
  const context = await browser.newContext();
  try {
    const page = await context.newPage();
    await page.goto(url);
    await page.waitForFunction(() => window.run);
    const { vector, times } = await page.evaluate(() => window.run());
    const encoder = await loadVideoEncoder({ model: 'halfclip-emoji' });
    const expected = [];
    const wanted = await encoder.embed(film, { onFrame: ({ time }) => expected.push(time) });
    encoder.dispose();
    assert.deepEqual(times, expected);
    assert.ok(cosineSimilarity(vector, wanted) > 0.999, `cosine ${cosineSimilarity(vector, wanted)}`);
  } finally {
    await context.close();
  }
}
