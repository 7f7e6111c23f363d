// The package as `npm pack` makes it, in a page with the strict Content-Security-Policy: both towers, in a
// worker and on the page's thread, every source of pictures, failures, aborts.

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';

import { loadImageEncoder } from '../../dist/index.js';
import { contentSecurityPolicy, serve } from '../../web/cli/server.js';
import { pack, unpack } from '../install.mjs';
import { cosine, golden, parseSafetensors, randomCheckpoint, rows } from '../node/support.mjs';
import { isFirefox, launch } from './engine.mjs';

let folder;
let server;
let elsewhere;
let browser;

/** The pixels of the picture that most tests use: 32 x 32, each channel its own pattern, alpha too. */
const RGBA = Uint8Array.from({ length: 32 * 32 * 4 }, (_, i) => (i >> 2) * [3, 7, 11, 13][i & 3]);
const OPAQUE = RGBA.map((byte, i) => ((i & 3) === 3 ? 255 : byte));
const raw = { raw: { width: 32, height: 32, channels: 4 } };

before(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'halfclip-'));
  unpack(pack(folder), path.join(folder, 'package'));

  const site = path.join(folder, 'site');
  mkdirSync(site);
  const write = (name, content) => writeFileSync(path.join(site, name), content);
  write(
    'index.html',
    '<!DOCTYPE html><meta charset="utf-8"><link rel="icon" href="data:,"><title>halfclip</title><script type="module" src="main.js"></script><img id="picture" src="alpha.png">',
  );
  write('main.js', 'import * as halfclip from "/halfclip/index.js"; window.halfclip = halfclip;');
  write('other.html', '<!DOCTYPE html><meta charset="utf-8"><title>halfclip</title>');
  write('alpha.png', await sharp(RGBA, raw).png().toBuffer());
  write('opaque.png', await sharp(OPAQUE, raw).png().toBuffer());
  write('profile.png', await sharp(OPAQUE, raw).withIccProfile('p3').png().toBuffer());
  write(
    'photo.jpg',
    await sharp(OPAQUE, raw)
      .removeAlpha()
      .resize(48, 32)
      .jpeg({ quality: 95 })
      .withMetadata({ orientation: 6 })
      .toBuffer(),
  );
  write('not-a-picture.png', 'PNG?');
  const pictures = randomCheckpoint({ vision_cfg: { image_size: 32, patch_size: 8, width: 64, layers: 1 } });
  write('model.safetensors', pictures.file);
  write(
    'config.json',
    JSON.stringify({ model_cfg: pictures.config, preprocess_cfg: { mean: [0, 0, 0], std: [1, 1, 1] } }),
  );

  const package_ = path.join(folder, 'package/dist');
  server = await serve({
    root: {
      '/': site,
      '/halfclip/': package_,
      '/golden/': fileURLToPath(new URL('../golden/towers/', import.meta.url)),
    },
  });
  elsewhere = await serve({
    root: { '/halfclip/': package_ },
    headers: { 'Access-Control-Allow-Origin': '*', 'Cross-Origin-Resource-Policy': 'cross-origin' },
  });
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await server?.close();
  await elsewhere?.close();
  rmSync(folder, { recursive: true });
});

/**
 * Runs `visit` in a fresh page that has loaded the package; no policy may be violated and nothing may be logged as an
 * error.
 */
async function inPage(visit, { path = '/', expected = /^$/ } = {}) {
  const context = await browser.newContext();
  const page = await context.newPage();
  const complaints = [];
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type()) && !expected.test(message.text()))
      complaints.push(message.text());
  });
  page.on('pageerror', (error) => !expected.test(String(error)) && complaints.push(String(error)));
  await page.addInitScript(() =>
    addEventListener('securitypolicyviolation', (event) =>
      console.error(`violates ${event.violatedDirective}: ${event.blockedURI}`),
    ),
  );
  try {
    const response = await page.goto(server.url + path);
    assert.match(
      response.headers()['content-security-policy'],
      /script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'/,
    );
    if (path === '/') await page.waitForFunction(() => window.halfclip);
    await visit(page);
    assert.deepEqual(complaints, []);
  } finally {
    await context.close();
  }
}

for (const worker of [true, false]) {
  for (const simd of ['relaxed', 'simd128']) {
    test(`both towers agree with OpenCLIP, ${simd}, ${worker ? 'in a worker' : "on the page's thread"}`, () =>
      inPage(async (page) => {
        for (const name of ['clip', 'coca', 'real-shape']) {
          const { config, expected } = golden(name);
          const given = {
            name,
            config,
            worker,
            simd,
            tokens: rows(expected.tokens).map((ids) => [...ids]),
            pixels: rows(expected.pixels).map((pixels) => [...pixels]),
          };
          const found = await page.evaluate(async ({ name, config, worker, simd, tokens, pixels }) => {
            const options = { model: config, weights: `/golden/${name}.safetensors`, dtype: 'fp32', worker, simd };
            const text = await halfclip.loadTextEncoder(options);
            const image = await halfclip.loadImageEncoder(options);
            const result = {
              text: (
                await text.embedTokens(
                  tokens.map((ids) => Int32Array.from(ids)),
                  { normalize: false },
                )
              ).map((vector) => [...vector]),
              image: (
                await image.embedPixels(
                  pixels.map((pixels) => Float32Array.from(pixels)),
                  { normalize: false },
                )
              ).map((vector) => [...vector]),
              simd: text.info.simd,
            };
            text.dispose();
            image.dispose();
            return result;
          }, given);
          assert.equal(found.simd, simd);
          for (const tower of ['text', 'image']) {
            rows(expected[`${tower}_features`]).forEach((vector, i) => {
              const near = cosine(found[tower][i], vector);
              assert.ok(near >= 0.99999, `${name} ${tower} ${i}: cosine ${near}`);
            });
          }
        }
      }));
  }
}

test('relaxed SIMD and a worker are the default; disposing ends the worker', () =>
  inPage(async (page) => {
    const info = await page.evaluate(async () => {
      const model = await (await fetch('config.json')).json();
      window.encoder = await halfclip.loadImageEncoder({ model, weights: 'model.safetensors' });
      return encoder.info;
    });
    assert.equal(info.simd, 'relaxed');
    assert.equal(page.workers().length, 1);
    assert.match(page.workers()[0].url(), /\/halfclip\/worker\.js$/);
    const gone = page.workers()[0].waitForEvent('close');
    await page.evaluate(() => encoder.dispose());
    await gone;
    await page.evaluate(async () => {
      const model = await (await fetch('config.json')).json();
      window.encoder = await halfclip.loadImageEncoder({ model, weights: 'model.safetensors', worker: false });
      await encoder.embed(new ImageData(4, 4));
    });
    assert.equal(page.workers().length, 0);
  }));

/** What preprocess() makes of a 32 x 32 picture when mean is 0 and standard deviation 1. */
const expectedPixels = (rgba) =>
  Array.from({ length: 3072 }, (_, i) => Math.fround(rgba[(i % 1024) * 4 + Math.floor(i / 1024)] / 255));

for (const worker of [true, false]) {
  const name = `every source of pictures gives exact pixels, ${worker ? 'in a worker' : "on the page's thread"}`;
  test(
    name,
    { skip: isFirefox && 'without a screen it has no WebGL, which tells what lies under transparent pixels' },
    () =>
      inPage(async (page) => {
        const found = await page.evaluate(
          async ({ worker, rgba, opaque }) => {
            const model = await (await fetch('config.json')).json();
            const encoder = await halfclip.loadImageEncoder({ model, weights: 'model.safetensors', worker });
            const picture = async (name) => new File([await (await fetch(name)).blob()], name);
            const canvas = document.createElement('canvas');
            canvas.width = canvas.height = 32;
            canvas.getContext('2d').putImageData(new ImageData(Uint8ClampedArray.from(opaque), 32), 0, 0);
            const offscreen = new OffscreenCanvas(32, 32);
            offscreen.getContext('2d').putImageData(new ImageData(Uint8ClampedArray.from(opaque), 32), 0, 0);
            const image = document.querySelector('#picture');
            const bitmap = await createImageBitmap(await picture('alpha.png'), {
              premultiplyAlpha: 'none',
              colorSpaceConversion: 'none',
            });
            const frame = new VideoFrame(canvas, { timestamp: 0 });
            const withAlpha = {
              ImageData: new ImageData(Uint8ClampedArray.from(rgba), 32),
              'RGBA bytes': { data: Uint8Array.from(rgba), width: 32, height: 32 },
              'RGB bytes': { data: Uint8Array.from(rgba.filter((_, i) => (i & 3) !== 3)), width: 32, height: 32 },
              'a relative URL': 'alpha.png',
              'a URL': new URL('alpha.png', location.href),
              'a File': await picture('alpha.png'),
              'a Blob': new Blob([await (await picture('alpha.png')).arrayBuffer()]),
              'an ArrayBuffer': await (await picture('alpha.png')).arrayBuffer(),
              'a Uint8Array': new Uint8Array(await (await picture('alpha.png')).arrayBuffer()),
              'an ImageBitmap': bitmap,
              'an image element': image,
            };
            const withoutAlpha = {
              'a canvas': canvas,
              'an OffscreenCanvas': offscreen,
              'a VideoFrame': frame,
              'a PNG': 'opaque.png',
              'a PNG with a profile': 'profile.png',
            };
            const all = async (sources) => {
              const pixels = await encoder.preprocess(Object.values(sources));
              return Object.fromEntries(Object.keys(sources).map((name, i) => [name, [...pixels[i]]]));
            };
            const result = {
              withAlpha: await all(withAlpha),
              withoutAlpha: await all(withoutAlpha),
              left: [bitmap.width, frame.codedWidth],
            };
            const [a, b] = await encoder.embed([image, canvas]);
            result.embedded = [
              a.length,
              b.length,
              await encoder.embed(bitmap).then((c) => halfclip.cosineSimilarity(a, c)),
            ];
            encoder.dispose();
            return result;
          },
          { worker, rgba: [...RGBA], opaque: [...OPAQUE] },
        );
        for (const [name, pixels] of Object.entries(found.withAlpha))
          assert.deepEqual(pixels, expectedPixels(RGBA), name);
        const profile = parsePng('profile.png');
        for (const [name, pixels] of Object.entries(found.withoutAlpha)) {
          assert.deepEqual(pixels, expectedPixels(name === 'a PNG with a profile' ? await profile : OPAQUE), name);
        }
        assert.deepEqual(found.left, [32, 32], "what was handed in is still the caller's");
        assert.deepEqual(found.embedded.slice(0, 2), [16, 16]);
        assert.ok(found.embedded[2] > 0.9999999);
      }),
  );
}

/** The stored bytes of a picture of the site. */
const parsePng = (name) =>
  sharp(readFileSync(path.join(folder, 'site', name)), { ignoreIcc: true })
    .ensureAlpha()
    .raw()
    .toBuffer();

test('photographs are turned upright, and come out as in Node.js', () =>
  inPage(async (page) => {
    const photo = path.join(folder, 'site/photo.jpg');
    const model = JSON.parse(readFileSync(path.join(folder, 'site/config.json')));
    const node = await loadImageEncoder({ model, weights: path.join(folder, 'site/model.safetensors') });
    const expected = await node.preprocess(photo);
    node.dispose();
    const found = await page.evaluate(async () => {
      const model = await (await fetch('config.json')).json();
      const encoder = await halfclip.loadImageEncoder({ model, weights: 'model.safetensors' });
      return [...(await encoder.preprocess('photo.jpg'))];
    });
    const largest = Math.max(...found.map((x, i) => Math.abs(x - expected[i])));
    assert.ok(largest <= 3.01 / 255, `pixels differ by up to ${largest * 255} of 255`); // two decoders of JPEG
  }));

test('a playing video', () =>
  inPage(async (page) => {
    const length = await page.evaluate(async () => {
      const model = await (await fetch('config.json')).json();
      const encoder = await halfclip.loadImageEncoder({ model, weights: 'model.safetensors' });
      const canvas = document.createElement('canvas');
      const context = canvas.getContext('2d');
      context.fillRect(0, 0, 300, 150);
      const video = document.createElement('video');
      const empty = await encoder.embed(video).catch((error) => error.code);
      if (empty !== 'input/decode') throw new Error(`a video without a frame: ${empty}`);
      video.muted = true;
      video.srcObject = canvas.captureStream(30);
      setInterval(() => context.fillRect(0, 0, Math.random() * 300, 150), 20);
      await video.play();
      return (await encoder.embed(video)).length;
    });
    assert.equal(length, 16);
  }));

test('failures have their codes, and the next call works', () =>
  inPage(
    async (page) => {
      const { config } = golden('clip');
      const codes = await page.evaluate(async (config) => {
        const codeOf = (promise) =>
          promise.then(
            () => 'worked',
            (error) =>
              error instanceof halfclip.HalfclipError ? `${error.code} ${error.status ?? ''}`.trim() : String(error),
          );
        const model = await (await fetch('config.json')).json();
        const good = '/golden/clip.safetensors';
        const result = {};
        for (const worker of [true, false]) {
          const load = (options) => halfclip.loadImageEncoder({ model: config, weights: good, worker, ...options });
          const encoder = await load();
          const codes = {
            status: await codeOf(load({ weights: 'nothing.safetensors' })),
            html: await codeOf(load({ weights: 'index.html' })),
            network: await codeOf(load({ weights: 'http://localhost:1/x' })),
            mismatch: await codeOf(load({ model })),
            unknown: await codeOf(load({ model: 'ViT-B32' })),
            path: await codeOf(load({ model: '/golden/clip.json' })),
            missing: await codeOf(load({ weights: undefined })),
            truncated: await codeOf(load({ weights: (await (await fetch(good)).blob()).slice(0, 9000) })),
            integrity: await codeOf(load({ integrity: `sha256-${'A'.repeat(43)}=` })),
            decode: await codeOf(encoder.embed('not-a-picture.png')),
            pictureStatus: await codeOf(encoder.embed('nothing.png')),
            type: await codeOf(encoder.embed(7)),
            size: await codeOf(encoder.embed({ data: new Uint8Array(0), width: 0, height: 0 })),
            closed: await codeOf(
              (async () => {
                const bitmap = await createImageBitmap(new ImageData(4, 4));
                bitmap.close();
                return encoder.embed(bitmap);
              })(),
            ),
            works: (await encoder.embed('opaque.png')).length,
          };
          const running = codeOf(encoder.embed(Array(500).fill('opaque.png')));
          encoder.dispose();
          codes.running = await running;
          codes.disposed = await codeOf(encoder.embed('opaque.png'));
          result[worker] = codes;
        }
        return result;
      }, config);
      for (const found of Object.values(codes)) {
        assert.deepEqual(found, {
          status: 'http/status 404',
          html: 'weights/format',
          network: 'http/network',
          mismatch: 'weights/mismatch',
          unknown: 'model/unknown',
          path: 'model/not-a-path',
          missing: 'weights/not-found',
          truncated: 'weights/truncated',
          integrity: 'integrity/mismatch',
          decode: 'input/decode',
          pictureStatus: 'http/status 404',
          type: 'input/type',
          size: 'input/size',
          closed: found.closed,
          works: 24,
          running: 'state/disposed',
          disposed: 'state/disposed',
        });
        assert.match(found.closed, /^input\/(size|type|decode)$/);
      }
    },
    { expected: /404|ERR_CONNECTION_REFUSED|ERR_UNSAFE_PORT|Content Security Policy|connect-src|violates connect-src/ },
  ));

for (const worker of [true, false]) {
  test(`aborts reject with the signal's reason, ${worker ? 'in a worker' : "on the page's thread"}`, () =>
    inPage(async (page) => {
      const { config, expected } = golden('real-shape');
      const found = await page.evaluate(
        async ({ config, ids, worker }) => {
          const options = { model: config, weights: '/golden/real-shape.safetensors', worker };
          const reason = new Error('never mind');
          const outcome = (promise) =>
            promise.then(
              () => 'worked',
              (error) => error === reason,
            );
          const result = {};
          result.before = await outcome(halfclip.loadTextEncoder({ ...options, signal: AbortSignal.abort(reason) }));
          const loading = new AbortController();
          let cancelled;
          let sent = 0;
          const endless = async () =>
            new Response(
              new ReadableStream({
                pull(stream) {
                  // A header of 10,000 bytes that never comes.
                  stream.enqueue(new Uint8Array([16, 39, 0, 0, 0, 0, 0, 0].slice(0, sent++ ? 1 : 8)));
                  if (sent === 5) loading.abort(reason);
                  return new Promise((resolve) => setTimeout(resolve, 5));
                },
                cancel() {
                  cancelled = true;
                },
              }),
            );
          result.loading = await outcome(
            halfclip.loadTextEncoder({ ...options, fetch: endless, signal: loading.signal }),
          );
          await new Promise((resolve) => setTimeout(resolve, 50));
          result.cancelled = cancelled;

          const text = await halfclip.loadTextEncoder(options);
          const running = new AbortController();
          setTimeout(() => running.abort(reason), 50);
          const start = performance.now();
          result.embedding = await outcome(
            text.embedTokens(Array(20000).fill(Int32Array.from(ids)), { signal: running.signal }),
          );
          result.next = (await text.embedTokens(Int32Array.from(ids))).length;
          result.time = performance.now() - start;
          text.dispose();
          return result;
        },
        { config, ids: [...rows(expected.tokens)[0]], worker },
      );
      const { time, next, ...others } = found;
      assert.deepEqual(others, { before: true, loading: true, cancelled: true, embedding: true });
      assert.ok(next > 0);
      assert.ok(time < 5000, `it stopped after ${time} ms`);
    }));
}

test("progress, integrity, and a fetch of one's own, in a worker", () =>
  inPage(async (page) => {
    const file = readFileSync(new URL('../golden/towers/clip.safetensors', import.meta.url));
    const integrity = `sha384-${(await import('node:crypto')).createHash('sha384').update(file).digest('base64')}`;
    const { config } = golden('clip');
    const found = await page.evaluate(
      async ({ config, integrity }) => {
        const steps = [];
        const urls = [];
        const encoder = await halfclip.loadTextEncoder({
          model: config,
          weights: '/golden/clip.safetensors',
          integrity,
          onProgress: (step) => steps.push(step),
          fetch: (url, init) => {
            urls.push(url);
            return fetch(url, init);
          },
        });
        const { fetchedBytes, fileBytes } = encoder.info;
        encoder.dispose();
        return { last: steps.at(-1), urls, fetchedBytes, fileBytes };
      },
      { config, integrity },
    );
    assert.deepEqual(found, {
      last: { phase: 'fetch', loaded: file.length, total: file.length },
      urls: [`${server.url}/golden/clip.safetensors`],
      fetchedBytes: file.length,
      fileBytes: file.length,
    });
  }));

test('the bundled model', () =>
  inPage(async (page) => {
    const found = await page.evaluate(async () => {
      const text = await halfclip.loadTextEncoder({ model: 'halfclip-emoji' });
      const image = await halfclip.loadImageEncoder({ model: 'halfclip-emoji' });
      const [cat, face, train] = await text.embed(['a cat', 'a cat face', 'a train']);
      const vector = await image.embed('opaque.png');
      return {
        closer: halfclip.cosineSimilarity(cat, face) > halfclip.cosineSimilarity(cat, train),
        dims: [cat.length, vector.length],
      };
    });
    assert.equal(found.closer, true);
    assert.equal(found.dims[0], found.dims[1]);
  }));

const noBypass = isFirefox && 'its driver lifts no policy';
test('a module from another origin works without a worker', { skip: noBypass }, async () => {
  const context = await browser.newContext({ bypassCSP: true });
  const page = await context.newPage();
  await page.goto(`${server.url}/other.html`);
  const found = await page.evaluate(async (url) => {
    const halfclip = await import(url);
    const model = await (await fetch('config.json')).json();
    const encoder = await halfclip.loadImageEncoder({ model, weights: 'model.safetensors' });
    const vector = await encoder.embed('opaque.png');
    const required = await halfclip
      .loadImageEncoder({ model, weights: 'model.safetensors', worker: true })
      .catch((error) => String(error));
    return { length: vector.length, required };
  }, `${elsewhere.url}/halfclip/index.js`);
  assert.equal(found.length, 16);
  assert.match(found.required, /[Ww]orker/);
  assert.equal(page.workers().length, 0);
  await context.close();
});

test('the policy of the test server is the strict one, and the package has what a page needs', () => {
  assert.ok(!/unsafe-inline|'unsafe-eval'|script-src[^;]*blob:|worker-src[^;]*blob:/.test(contentSecurityPolicy));
  const shard = readFileSync(path.join(folder, 'package/dist/models/halfclip-emoji-text.safetensors'));
  assert.equal(parseSafetensors(shard).metadata.tower, 'text');
});
