// Apps of other bundlers and hosts: Parcel, Next.js (in the browser and on the server, with Turbopack and with
// webpack), esbuild and Rollup with the option assets, workerd with the option wasm, and a page that was opened as a
// file.

import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { build } from 'esbuild';

import { loadTextEncoder } from '../../../dist/index.js';
import { serve } from '../../../web/cli/server.js';
import { launch } from '../../browser/chromium.mjs';
import { ROOT, install, pack } from '../../install.mjs';
import { checkApp, installed, makeApp } from '../apps.mjs';

const MORE = path.join(ROOT, 'build/more');
const APPS = path.join(MORE, 'apps');
const BIN = path.join(MORE, 'node_modules/.bin');
const run = promisify(execFile);

let browser;
let packed;

before(async () => {
  install(fileURLToPath(new URL('.', import.meta.url)), MORE);
  mkdirSync(APPS, { recursive: true });
  packed = pack(APPS);
  browser = await launch('--allow-file-access-from-files');
});

after(() => browser?.close());

async function serving(root, use, headers = {}) {
  const server = await serve({ root: { '/': root }, home: '/index.html', headers });
  try {
    await use(server.url);
  } finally {
    await server.close();
  }
}

/** A port that nobody listens on. */
function freePort() {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

/** Starts a server, waits until it answers, and ends it at last. */
async function whileRunning(command, args, options, url, use) {
  const child = spawn(command, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  let printed = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => (printed += data));
  try {
    for (let i = 0; ; i++) {
      if (
        await fetch(url).then(
          (response) => response.status < 500,
          () => false,
        )
      )
        break;
      if (i === 300 || child.exitCode !== null) throw new Error(`${command} does not answer: ${printed}`);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    await use();
  } finally {
    try {
      process.kill(-child.pid);
    } catch {
      // It has ended by itself.
    }
  }
}

/** The vector that Node.js gives. */
async function vectorOf(text) {
  const encoder = await loadTextEncoder({ model: 'halfclip-emoji' });
  const vector = [...(await encoder.embed(text))];
  encoder.dispose();
  return vector;
}

test('Parcel 2, as built', async () => {
  const root = path.join(APPS, 'parcel');
  makeApp(root, packed, {
    'index.html':
      '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>app</title></head><body><script type="module" src="src/main.js"></script></body></html>',
  });
  await run(path.join(BIN, 'parcel'), ['build', 'index.html', '--no-cache', '--no-source-maps'], { cwd: root });
  cpSync(path.join(root, 'public'), path.join(root, 'dist'), { recursive: true });
  await serving(
    path.join(root, 'dist'),
    (url) => checkApp(browser, `${url}/index.html`, { expectedMessages: /status of 404/ }),
    { 'Content-Security-Policy': undefined },
  ); // its import map is an inline script; its page has no icon, which is no answer of the app's
});

const BUNDLERS = {
  esbuild: (root) =>
    build({
      absWorkingDir: root,
      entryPoints: ['src/main.js'],
      bundle: true,
      format: 'esm',
      outfile: 'public/main.js',
      logLevel: 'error',
    }),
  Rollup: async (root) => {
    const { rollup } = await installed('more', 'rollup');
    const { default: resolve } = await installed('more', '@rollup/plugin-node-resolve');
    const bundle = await rollup({ input: path.join(root, 'src/main.js'), plugins: [resolve({ browser: true })] });
    await bundle.write({ dir: path.join(root, 'public'), format: 'es' });
    await bundle.close();
  },
};

for (const [name, bundle] of Object.entries(BUNDLERS)) {
  test(`${name}: with the option assets it works, without it the message says so`, async () => {
    const root = path.join(APPS, name);
    makeApp(root, packed, {
      'public/index.html':
        '<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><title>app</title><script type="module" src="main.js"></script>',
    });
    await bundle(root);
    cpSync(path.join(root, 'node_modules/halfclip/dist'), path.join(root, 'public/halfclip'), { recursive: true });
    await serving(path.join(root, 'public'), async (url) => {
      await checkApp(browser, `${url}/index.html`, { options: { assets: '/halfclip/' } });
      const page = await browser.newPage();
      await page.goto(`${url}/index.html`);
      await page.waitForFunction(() => window.fail);
      for (const options of [{}, { worker: true }, { worker: false }]) {
        const error = await page.evaluate((options) => window.fail(options), options);
        assert.ok(error.halfclip, JSON.stringify(error));
        assert.match(error.message, /option assets/);
        assert.match(error.message, options.worker ? /worker\.js/ : /HTTP status 404/);
      }
      await page.close();
    });
  });
}

const ROUTE = `
import { HalfclipError, loadImageEncoder, loadTextEncoder } from 'halfclip';
export const dynamic = 'force-dynamic';
export async function GET() {
  const vectors = [];
  for (const options of [{}, { worker: true }, { threads: 2 }]) {
    const text = await loadTextEncoder({ model: 'halfclip-emoji', ...options });
    vectors.push([...(await text.embed('two hearts'))]);
    text.dispose();
  }
  const error = await loadImageEncoder({ model: 'ViT-B-32', weights: '/nowhere.safetensors' }).catch((error) => error);
  return Response.json({ vectors, error: [error instanceof HalfclipError, error.code] });
}`;

for (const bundler of ['turbopack', 'webpack']) {
  for (const mode of ['dev', 'start']) {
    test(`Next 16 with ${bundler}, ${mode === 'dev' ? 'in development' : 'as built'}, in the browser and on the server`, async () => {
      const root = path.join(APPS, `next-${bundler}-${mode}`);
      makeApp(root, packed, {
        'index.html': null,
        'next.config.mjs': `export default { async headers() { return [{ source: '/:path*', headers: [
          { key: 'Cross-Origin-Opener-Policy', value: 'same-origin' }, { key: 'Cross-Origin-Embedder-Policy', value: 'require-corp' }] }]; } };`,
        'app/layout.js':
          'export default function Layout({ children }) { return <html lang="en"><head><link rel="icon" href="data:," /></head><body>{children}</body></html>; }',
        'app/page.js': `'use client';
          import { useEffect } from 'react';
          export default function Page() { useEffect(() => { import('../src/main.js'); }, []); return <p>app</p>; }`,
        'app/api/route.js': ROUTE,
      });
      const next = path.join(BIN, 'next');
      const env = { ...process.env, NEXT_TELEMETRY_DISABLED: '1' };
      if (mode === 'start') await run(next, ['build', `--${bundler}`], { cwd: root, env, maxBuffer: 1 << 26 });
      const port = await freePort();
      const url = `http://127.0.0.1:${port}`;
      const args = [mode, ...(mode === 'dev' ? [`--${bundler}`] : []), '-H', '127.0.0.1', '-p', String(port)];
      await whileRunning(next, args, { cwd: root, env }, url, async () => {
        await checkApp(browser, url);
        const answer = await (await fetch(`${url}/api`)).json();
        const expected = await vectorOf('two hearts');
        assert.deepEqual(answer, { vectors: [expected, expected, expected], error: [true, 'weights/not-found'] });
      });
    });
  }
}

test('workerd, with the option wasm', async () => {
  const root = path.join(APPS, 'workerd');
  makeApp(root, packed, {
    'src/main.js': `
      import wasm from './halfclip.wasm';
      import weights from './text.safetensors';
      import { HalfclipError, loadTextEncoder } from 'halfclip';
      export default {
        async fetch() {
          const text = await loadTextEncoder({ model: 'halfclip-emoji', weights, wasm });
          const vector = [...(await text.embed('two hearts'))];
          text.dispose();
          const error = await loadTextEncoder({ model: 'halfclip-emoji', weights }).catch((error) => error);
          return Response.json({ vector, error: [error instanceof HalfclipError, error.message] });
        },
      };`,
    'config.capnp': null,
  });
  await build({
    absWorkingDir: root,
    entryPoints: ['src/main.js'],
    bundle: true,
    format: 'esm',
    outfile: 'main.js',
    conditions: ['workerd', 'worker', 'browser'],
    external: ['*.wasm', '*.safetensors'],
    logLevel: 'error',
  });
  const port = await freePort();
  const dist = path.join(root, 'node_modules/halfclip/dist');
  cpSync(path.join(dist, 'halfclip-relaxed.wasm'), path.join(root, 'halfclip.wasm'));
  cpSync(path.join(dist, 'models/halfclip-emoji-text.safetensors'), path.join(root, 'text.safetensors'));
  writeFileSync(
    path.join(root, 'config.capnp'),
    `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = (
    modules = [
      (name = "main.js", esModule = embed "main.js"),
      (name = "./halfclip.wasm", wasm = embed "halfclip.wasm"),
      (name = "./text.safetensors", data = embed "text.safetensors"),
    ],
    compatibilityDate = "2026-01-01",
  ))],
  sockets = [(name = "http", address = "127.0.0.1:${port}", http = (), service = "main")],
);`,
  );
  const url = `http://127.0.0.1:${port}`;
  await whileRunning(path.join(BIN, 'workerd'), ['serve', 'config.capnp'], { cwd: root }, url, async () => {
    const { vector, error } = await (await fetch(url)).json();
    assert.deepEqual(vector, await vectorOf('two hearts'));
    assert.equal(error[0], true, error[1]);
    assert.match(error[1], /option (wasm|assets)/);
  });
});

test('a page opened as a file: with the option wasm and bytes it works, without them the message says what to do', async () => {
  const root = path.join(APPS, 'file');
  makeApp(root, packed, {
    'src/main.js': `
      import wasm from '../node_modules/halfclip/dist/halfclip-simd128.wasm';
      import weights from '../node_modules/halfclip/dist/models/halfclip-emoji-text.safetensors';
      import { HalfclipError, loadTextEncoder } from 'halfclip';
      window.run = async (given) => {
        try {
          const text = await loadTextEncoder({ model: 'halfclip-emoji', ...(given && { wasm, weights }) });
          return [...(await text.embed('two hearts'))];
        } catch (error) {
          return [error instanceof HalfclipError, error.message];
        }
      };`,
    'page.html': '<!doctype html><meta charset="utf-8"><title>app</title><script src="main.js"></script>',
  });
  await build({
    absWorkingDir: root,
    entryPoints: ['src/main.js'],
    bundle: true,
    format: 'iife',
    outfile: 'main.js',
    loader: { '.wasm': 'binary', '.safetensors': 'binary' },
    logLevel: 'error',
    logOverride: { 'empty-import-meta': 'silent' },
  });
  const page = await browser.newPage();
  await page.goto(pathToFileURL(path.join(root, 'page.html')).href);
  assert.deepEqual(await page.evaluate(() => window.run(true)), await vectorOf('two hearts'));
  const [isHalfclip, message] = await page.evaluate(() => window.run(false));
  assert.ok(isHalfclip, message);
  assert.match(message, /option assets/);
  await page.close();
});
