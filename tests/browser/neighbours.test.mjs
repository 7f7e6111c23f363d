// What lies beside the module, the worker and the WebAssembly modules, when it is not there, is something else, or may
// not run: every failure says what was asked for, what came and what helps. And the options that say where it is.

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync, cpSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { contentSecurityPolicy, serve } from '../../web/cli/server.js';
import { launch } from './chromium.mjs';

const DIST = fileURLToPath(new URL('../../dist/', import.meta.url));
const PAGE =
  '<!DOCTYPE html><meta charset="utf-8"><link rel="icon" href="data:,"><title>halfclip</title><script type="module" src="/main.js"></script>';
const MODULES = [
  'halfclip-relaxed.wasm',
  'halfclip-relaxed-threads.wasm',
  'halfclip-vit-relaxed.wasm',
  'halfclip-vit-relaxed-threads.wasm',
  'halfclip-vit-simd128.wasm',
  'halfclip-vit-simd128-threads.wasm',
];

let folder;
let browser;

before(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'halfclip-'));
  browser = await launch();
});

after(async () => {
  await browser?.close();
  rmSync(folder, { recursive: true });
});

/**
 * A page that has loaded a copy of the package in which `change` has changed something.
 * @param {{ change?: (dist: string, site: string) => void, policy?: string }} given
 * @param {(page: import('playwright-core').Page, requests: string[], server: object) => Promise<void>} visit
 */
async function inPage({ change = () => {}, policy = contentSecurityPolicy }, visit) {
  const site = mkdtempSync(path.join(folder, 'site-'));
  const dist = path.join(site, 'halfclip');
  mkdirSync(dist);
  for (const name of ['index.js', 'worker.js', 'models', ...MODULES])
    cpSync(path.join(DIST, name), path.join(dist, name), { recursive: true });
  writeFileSync(path.join(site, 'index.html'), PAGE);
  writeFileSync(
    path.join(site, 'main.js'),
    `import * as halfclip from '/halfclip/index.js';
    window.halfclip = halfclip;
    window.attempt = (options) => halfclip.loadTextEncoder({ model: 'halfclip-emoji', ...options }).then(async (text) => {
      const vector = [...(await text.embed('two hearts'))];
      const { simd, threads } = text.info;
      text.dispose();
      return { vector, simd, threads };
    }, (error) => ({ halfclip: error instanceof halfclip.HalfclipError, code: error.code, status: error.status, message: error.message }));`,
  );
  change(dist, site);
  const server = await serve({ root: { '/': site }, headers: { 'Content-Security-Policy': policy } });
  const context = await browser.newContext();
  try {
    const page = await context.newPage();
    const requests = [];
    context.on('request', (request) => requests.push(new URL(request.url()).pathname));
    await page.goto(`${server.url}/index.html`);
    await page.waitForFunction(() => window.attempt);
    await visit(page, requests, server);
  } finally {
    await context.close();
    await server.close();
  }
}

const attempt = (page, options) => page.evaluate((options) => window.attempt(options), options);

/** Replaces all modules. */
const replaceModules = (content) => (dist) => {
  for (const name of MODULES) {
    const place = path.join(dist, name);
    const bytes = content(readFileSync(place));
    if (bytes) writeFileSync(place, bytes);
    else rmSync(place);
  }
};

const FAULTS = {
  'a policy without wasm-unsafe-eval': {
    policy: contentSecurityPolicy.replace(" 'wasm-unsafe-eval'", ''),
    code: 'model/unsupported',
    message: /Content-Security-Policy needs 'wasm-unsafe-eval' in its script-src/,
  },
  'a page of HTML in place of the module': {
    change: replaceModules(() => Buffer.from('<!doctype html><title>app</title>')),
    code: 'http/status',
    status: 200,
    message: /halfclip-vit-relaxed(-threads)?\.wasm: an HTML page came, expected a WebAssembly module/,
  },
  'another file in place of the module': {
    change: replaceModules(() => Buffer.alloc(100, 1)),
    code: 'http/status',
    status: 200,
    message: /another file came, expected a WebAssembly module/,
  },
  'a module that is cut off': {
    change: replaceModules((bytes) => bytes.subarray(0, bytes.length >> 1)),
    code: 'model/unsupported',
    message: /\.wasm does not compile .*it is damaged, or this engine lacks SIMD/s,
  },
  'no module': {
    change: replaceModules(() => null),
    code: 'http/status',
    status: 404,
    message: /halfclip-vit-relaxed(-threads)?\.wasm: HTTP status 404.*option assets/,
  },
  'no shard': {
    change: (dist) => rmSync(path.join(dist, 'models'), { recursive: true }),
    code: 'http/status',
    status: 404,
    message: /halfclip-emoji-text\.safetensors: HTTP status 404.*option assets/,
  },
};

for (const [name, { code, status, message, ...given }] of Object.entries(FAULTS)) {
  test(name, () =>
    inPage(given, async (page) => {
      for (const options of [{ threads: 1 }, { worker: false, threads: 1 }, { threads: 2 }]) {
        const error = await attempt(page, options);
        assert.equal(error.halfclip, true, JSON.stringify(error));
        assert.equal(error.code, code, error.message);
        assert.equal(error.status, status);
        assert.match(error.message, message);
      }
    }),
  );
}

test("no worker: on the page's own thread, unless a worker was asked for", () =>
  inPage({ policy: contentSecurityPolicy.replace("worker-src 'self'", "worker-src 'none'") }, async (page) => {
    assert.equal((await attempt(page, {})).vector.length, 192);
    const error = await attempt(page, { worker: true });
    assert.equal(error.code, 'http/network');
    assert.match(
      error.message,
      /worker could not be started from worker\.js beside the module.*worker-src.*option assets/s,
    );
  }));

test('the option wasm: a module, its bytes or its URL, in a worker and without', () =>
  inPage({}, async (page, requests) => {
    const usual = await attempt(page, {});
    await page.evaluate(async () => {
      window.bytes = await (await fetch('/halfclip/halfclip-relaxed.wasm')).arrayBuffer();
      window.module = await WebAssembly.compile(window.bytes);
      window.threaded = await WebAssembly.compileStreaming(fetch('/halfclip/halfclip-relaxed-threads.wasm'));
      window.other = await WebAssembly.compile(Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0));
    });
    requests.length = 0;
    for (const worker of [true, false]) {
      for (const wasm of ['module', 'bytes']) {
        const found = await page.evaluate(
          ([name, worker]) => window.attempt({ wasm: window[name], worker }),
          [wasm, worker],
        );
        assert.deepEqual(found, { ...usual, threads: 1 }, wasm);
      }
      const threaded = await page.evaluate(
        (worker) => window.attempt({ wasm: window.threaded, worker, threads: 2 }),
        worker,
      );
      assert.deepEqual(threaded, { ...usual, threads: 2 });
      for (const [name, pattern] of Object.entries({
        threaded: /module for several threads, expected that for one/,
        other: /not one of this version of halfclip/,
      })) {
        const error = await page.evaluate(
          ([name, worker]) => window.attempt({ wasm: window[name], worker, threads: 1 }),
          [name, worker],
        );
        assert.equal(error.code, 'input/type', error.message);
        assert.match(error.message, pattern);
      }
    }
    assert.ok(!requests.some((name) => name.endsWith('.wasm')), 'no module is fetched');
    assert.deepEqual(await attempt(page, { wasm: '/halfclip/halfclip-relaxed.wasm' }), { ...usual, threads: 1 });
    const missing = await attempt(page, { wasm: '/nowhere.wasm' });
    assert.deepEqual([missing.code, missing.status], ['http/status', 404]);
    const wrong = await attempt(page, { wasm: 7 });
    assert.deepEqual([wrong.code, /WebAssembly\.Module, its bytes or a URL/.test(wrong.message)], ['input/type', true]);
  }));

test('the option assets: another folder, relative to the page, with and without a slash', () =>
  inPage(
    {
      change: (dist, site) => {
        mkdirSync(path.join(site, 'elsewhere'));
        for (const name of ['worker.js', 'models', ...MODULES])
          cpSync(path.join(dist, name), path.join(site, 'elsewhere', name), { recursive: true });
        for (const name of ['models', ...MODULES]) rmSync(path.join(dist, name), { recursive: true });
      },
    },
    async (page, requests, server) => {
      for (const assets of ['elsewhere', '/elsewhere/', `${server.url}/elsewhere`]) {
        requests.length = 0;
        const found = await attempt(page, { assets, threads: 2 });
        assert.equal(found.vector?.length, 192, found.message);
        assert.equal(found.threads, 2);
        assert.ok(requests.includes('/elsewhere/worker.js'), 'the worker too');
        assert.ok(!requests.some((name) => name.startsWith('/halfclip/')), 'nothing from beside the module');
      }
      assert.equal((await attempt(page, { assets: 7 })).code, 'input/type');
    },
  ));

test("few requests: two scripts, a module, the worker's script again, and the weights", () =>
  inPage({}, async (page, requests) => {
    await attempt(page, { threads: 1 });
    const names = [...new Set(requests)].filter((name) => name.startsWith('/halfclip/')).sort();
    assert.deepEqual(names, [
      '/halfclip/halfclip-vit-relaxed.wasm',
      '/halfclip/index.js',
      '/halfclip/models/halfclip-emoji-text.safetensors',
      '/halfclip/worker.js',
    ]);
  }));

test('a module of another media type is fetched once', () =>
  inPage({}, async (page, requests) => {
    await page.context().route('**/halfclip-vit-relaxed.wasm', async (route) => {
      const response = await route.fetch();
      await route.fulfill({ response, headers: { ...response.headers(), 'content-type': 'application/octet-stream' } });
    });
    const found = await attempt(page, { threads: 1, worker: false });
    assert.equal(found.vector?.length, 192, found.message);
    assert.equal(requests.filter((name) => name.endsWith('.wasm')).length, 1);
  }));
