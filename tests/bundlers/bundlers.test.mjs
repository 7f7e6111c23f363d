// Fresh apps of Vite 5 to 8 and of webpack 5, without any setting: in development and as built, in a worker and
// without, on one thread and on two.

import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { serve } from '../../web/cli/server.js';
import { launch } from '../browser/chromium.mjs';
import { ROOT, install, pack } from '../install.mjs';
import { HEADERS, checkApp, installed, makeApp } from './apps.mjs';
import { checkFilmApp, makeFilmApp } from './film-app.mjs';

const APPS = path.join(ROOT, 'build/apps');

let browser;
let packed;

before(async () => {
  install(fileURLToPath(new URL('.', import.meta.url)), path.join(ROOT, 'build/bundlers'));
  mkdirSync(APPS, { recursive: true });
  packed = pack(APPS);
  browser = await launch();
});

after(() => browser?.close());

/** Serves what a bundler has built, with the strict policy unless `headers` say otherwise, and checks it. */
async function checkBuilt(folder, headers = {}) {
  const server = await serve({ root: { '/': folder }, home: '/index.html', headers });
  try {
    await checkApp(browser, `${server.url}/index.html`);
  } finally {
    await server.close();
  }
}

for (const version of [5, 6, 7, 8]) {
  test(`Vite ${version}, in development`, async () => {
    const { createServer } = await installed('bundlers', `vite${version}`, 'dist/node/index.js');
    const root = path.join(APPS, `vite${version}-dev`);
    makeApp(root, packed);
    const server = await createServer({
      root,
      configFile: false,
      logLevel: 'error',
      server: { port: 0, headers: HEADERS },
    });
    try {
      await server.listen();
      await checkApp(browser, server.resolvedUrls.local[0]);
    } finally {
      await server.close();
    }
  });

  test(`Vite ${version}, as built`, async () => {
    const { build } = await installed('bundlers', `vite${version}`, 'dist/node/index.js');
    const root = path.join(APPS, `vite${version}`);
    makeApp(root, packed);
    await build({ root, configFile: false, logLevel: 'error' });
    await checkBuilt(path.join(root, 'dist'));
  });
}

test('Vite 7, as built: a page that embeds a film with mediabunny', async () => {
  const { build } = await installed('bundlers', 'vite7', 'dist/node/index.js');
  const root = path.join(APPS, 'vite7-film');
  await makeFilmApp(root, packed);
  await build({ root, configFile: false, logLevel: 'error' });
  const server = await serve({ root: { '/': path.join(root, 'dist') }, home: '/index.html' });
  try {
    await checkFilmApp(browser, `${server.url}/index.html`, path.join(root, 'public/film.webm'));
  } finally {
    await server.close();
  }
});

for (const mode of ['development', 'production']) {
  test(`webpack 5, mode ${mode}`, async () => {
    const { default: webpack } = await installed('bundlers', 'webpack');
    const root = path.join(APPS, `webpack5-${mode}`);
    makeApp(root, packed, {
      'public/index.html':
        '<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><title>app</title><script src="main.js"></script>',
    });
    const output = path.join(root, 'public');
    await new Promise((resolve, reject) => {
      webpack(
        { mode, context: root, entry: './src/main.js', output: { path: output }, performance: { hints: false } },
        (error, stats) => {
          if (error || stats.hasErrors() || stats.hasWarnings())
            reject(error ?? new Error(stats.toString('errors-warnings')));
          else resolve();
        },
      );
    });
    // In development it puts modules into eval().
    await checkBuilt(output, mode === 'development' ? { 'Content-Security-Policy': undefined } : {});
  });
}
