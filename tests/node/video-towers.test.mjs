// Video towers through the package, against the vectors of CLIP4Clip's own code: from pixels and from frames, here and in
// a worker, from checkpoints and shards; the other towers of the same checkpoint; and what is refused.

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { loadImageEncoder, loadTextEncoder, loadVideoEncoder } from '../../dist/index.js';
import { detectSimd } from '../../web/wasm/simd.js';
import { ADVICE, digest, embedGoldenVideos, readDigests } from '../digests.mjs';
import { programIn } from './cli-program.mjs';
import { fails } from './fails.mjs';
import { FaultServer, inMemory } from './fault-server.mjs';
import {
  VIDEOS,
  buildSafetensors,
  cosine,
  golden,
  goldenVideos as videos,
  parseSafetensors,
  rows,
  videoNames,
} from './support.mjs';

const SIZE = 12;
const LENGTH = 3 * SIZE * SIZE;

let folder;
let program;
before(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'halfclip-'));
  program = programIn(folder);
});
after(() => rmSync(folder, { recursive: true }));

const load = ({ model, weights }, options) => loadVideoEncoder({ model, weights, dtype: 'fp32', ...options });

for (const name of videoNames) {
  test(`${name}: the vectors of CLIP4Clip, alone and together, here and in a worker, on several threads`, async () => {
    const data = videos(name);
    const bits = [];
    for (const options of [{}, { worker: true }, { threads: 2 }]) {
      const encoder = await load(data, options);
      assert.equal(encoder.info.temporal, /meanP|seqTransf|seqLSTM/.exec(name)[0]);
      assert.equal(encoder.info.seen, name.endsWith('3d') ? 3 : 1);
      assert.ok(Math.abs(encoder.info.logitScale / data.scale - 1) < 1e-6);
      assert.equal(encoder.info.tower, 'video');
      assert.equal(encoder.info.quickGelu, true);
      assert.equal(encoder.info.maxFrames, 12);
      const vectors = await encoder.embedPixels(data.videos);
      for (const [i, vector] of vectors.entries()) {
        assert.ok(cosine(vector, data.vectors[i]) >= 0.99999, `video ${i}: ${cosine(vector, data.vectors[i])}`);
        assert.ok(Math.abs(Math.hypot(...vector) - 1) < 1e-5);
        assert.deepEqual(await encoder.embedPixels(data.videos[i]), vector);
      }
      const [plain] = await encoder.embedPixels([data.videos[0]], { normalize: false });
      assert.ok(cosine(plain, vectors[0]) > 0.999999 && Math.hypot(...plain) < 0.999);
      bits.push(vectors);
      encoder.dispose();
    }
    assert.deepEqual(bits[1], bits[0]);
    assert.deepEqual(bits[2], bits[0]);
    const narrow = await load(data, { dtype: 'int8' });
    for (const [i, vector] of (await narrow.embedPixels(data.videos)).entries())
      assert.ok(cosine(vector, data.vectors[i]) >= 0.99, `int8, video ${i}: ${cosine(vector, data.vectors[i])}`);
    narrow.dispose();
  });

  test(`${name}: the same checkpoint serves the other encoders, a picture as a video of one frame`, async () => {
    const { model, weights, frames, tensors } = videos(name);
    const image = await loadImageEncoder({ model, weights, dtype: 'fp32' });
    const text = await loadTextEncoder({ model, weights, dtype: 'fp32' });
    const found = await image.embedPixels(frames.flat());
    rows(tensors.image_features).forEach((vector, i) => assert.ok(cosine(vector, found[i]) >= 0.99999, `picture ${i}`));
    const texts = await text.embedTokens(rows(tensors.tokens));
    rows(tensors.text_features).forEach((vector, i) => assert.ok(cosine(vector, texts[i]) >= 0.99999, `text ${i}`));
    for (const encoder of [image, text]) encoder.dispose();
  });
}

test('the same bits as ever, and as natively: at int8 and int4 in every build', async () => {
  const digests = readDigests();
  for (const name of videoNames)
    for (const simd of detectSimd() === 'relaxed' ? ['relaxed', 'simd128'] : ['simd128'])
      for (const dtype of simd === 'simd128' ? ['fp32', 'fp16', 'int8', 'int4'] : ['int8', 'int4']) {
        const found = digest(await embedGoldenVideos(videos(name), { dtype, simd }));
        assert.equal(found, digests[`${name} video`]?.[dtype], `${name}, ${simd}, ${dtype}: ${ADVICE}`);
      }
});

test('a file as torch.save writes it gives the same bits, by path, URL and in memory', async () => {
  const name = 'clip4clip-seqTransf-3d';
  const data = videos(name);
  const wanted = await load(data);
  const expected = await wanted.embedPixels(data.videos);
  wanted.dispose();
  const bin = readFileSync(new URL(`${name}.bin`, VIDEOS));
  const server = await FaultServer.start({ '/pytorch_model.bin.4': inMemory(bin) });
  const places = [fileURLToPath(new URL(`${name}.bin`, VIDEOS)), `${server.base}/pytorch_model.bin.4`, new Blob([bin])];
  for (const weights of places) {
    const encoder = await load({ ...data, weights }, { cache: 'no-store' });
    assert.deepEqual(await encoder.embedPixels(data.videos), expected);
    encoder.dispose();
  }
  await server.close();
});

/** Pictures of the tower's own size. */
const pictures = Array.from({ length: 5 }, (_, i) => ({
  data: Uint8Array.from({ length: LENGTH }, (_, k) => (k * 7 + i * 41 + (k % 11) * i) % 256),
  width: SIZE,
  height: SIZE,
}));

for (const name of ['clip4clip-seqTransf', 'clip4clip-seqLSTM-3d']) {
  test(`${name}: frames as arrays, iterables and streams, and one by one as they are computed`, async () => {
    const data = videos(name);
    const image = await loadImageEncoder({ model: data.model, weights: data.weights, dtype: 'fp32' });
    const pixels = await image.preprocess(pictures);
    for (const worker of [false, true]) {
      const encoder = await load(data, { worker });
      const expected = await encoder.embedPixels(Float32Array.from(pixels.flatMap((frame) => [...frame])));
      const frames = {
        array: pictures,
        set: new Set(pictures),
        promises: pictures.map(async (picture) => picture),
        generator: (async function* () {
          yield* pictures;
        })(),
        stream: new ReadableStream({
          start(controller) {
            for (const picture of pictures) controller.enqueue(picture);
            controller.close();
          },
        }),
      };
      for (const [kind, list] of Object.entries(frames))
        assert.deepEqual(await encoder.embed({ frames: list }), expected, kind);
      const seen = [];
      const timed = pictures.map((picture, i) => ({ ...picture, time: i / 2 }));
      const many = await encoder.embed([{ frames: timed }, { frames: pictures.slice(0, 1) }], {
        onFrame: (frame) => seen.push(frame),
      });
      assert.deepEqual(many[0], expected);
      assert.equal(seen.length, 6);
      const first = seen.filter(({ time }) => time !== undefined);
      assert.deepEqual(
        first.map(({ index, time }) => [index, time]),
        [0, 1, 2, 3, 4].map((i) => [i, i / 2]),
      );
      if (encoder.info.seen === 1) {
        const alone = await image.embed(pictures);
        first.forEach(({ vector }, i) => assert.ok(cosine(vector, alone[i]) > 0.999999));
      }
      encoder.dispose();
    }
    image.dispose();
  });
}

test('videos as they come: one that is wrong does not end the run', async () => {
  const encoder = await load(videos('clip4clip-meanP'));
  const wrong = { frames: [pictures[0], { data: new Uint8Array(3), width: 9, height: 9 }] };
  const sources = [{ frames: pictures }, wrong, { frames: [] }, { frames: pictures.slice(1) }];
  const outcomes = [];
  for await (const { index, vector, error } of encoder.embedAll(sources)) outcomes.push([index, vector, error]);
  assert.deepEqual(
    outcomes.map(([index, vector]) => [index, Boolean(vector)]),
    [
      [0, true],
      [1, false],
      [2, false],
      [3, true],
    ],
  );
  assert.match(outcomes[1][2].message, /frame 1 of input 1/);
  assert.equal(outcomes[2][2].code, 'input/size');
  assert.deepEqual(outcomes[0][1], await encoder.embed(sources[0]));
  encoder.dispose();
});

test('what is no video, and how many frames there may be', async () => {
  const transformer = await load(videos('clip4clip-seqTransf'));
  await fails(transformer.embed({ frames: [] }), 'input/size', 'the input: has 0 frames', '1 to 16');
  const many = Array.from({ length: 17 }, (_, i) => pictures[i % 5]);
  await fails(transformer.embed({ frames: many }), 'input/size', '17 frames', '1 to 16');
  await fails(transformer.embed({ frames: 7 }), 'input/type');
  await fails(transformer.embed({ frames: [{}] }), 'input/type', 'frame 0 of the input');
  await fails(transformer.embed(7), 'input/type', 'the input');
  await fails(transformer.embed({ frames: pictures }, { start: -1 }), 'input/type', 'start');
  await fails(transformer.embed({ frames: pictures }, { form: 1 }), 'input/type', 'form');
  await fails(transformer.embedPixels(new Float32Array(LENGTH + 1)), 'input/type', `${LENGTH} numbers for each frame`);
  await fails(transformer.embedPixels(new Float32Array(0)), 'input/type');
  await fails(transformer.embedPixels([new Float32Array(LENGTH).fill(NaN)]), 'input/type', 'input 0', 'finite');
  assert.equal((await transformer.embed({ frames: many.slice(1) })).length, 128);
  transformer.dispose();
  await fails(transformer.embed({ frames: pictures }), 'state/disposed');
  await fails(load(videos('clip4clip-seqTransf'), { maxFrames: 17 }), 'input/size', 'maxFrames is 17', 'at most 16');
  const mean = await load(videos('clip4clip-meanP'), { maxFrames: Infinity });
  assert.equal(mean.info.maxFrames, Infinity);
  assert.equal((await mean.embed({ frames: many })).length, 64);
  mean.dispose();
});

test('an abort and an iterable that fails end a video', async () => {
  const encoder = await load(videos('clip4clip-seqLSTM'));
  const abort = new AbortController();
  let closed = false;
  const endless = async function* () {
    try {
      for (let i = 0; ; i++) {
        if (i === 9) abort.abort(new Error('enough'));
        yield pictures[i % 5];
      }
    } finally {
      closed = true;
    }
  };
  await assert.rejects(encoder.embed({ frames: endless() }, { signal: abort.signal }), /enough/);
  await new Promise((resolve) => setTimeout(resolve, 10));
  assert.ok(closed);
  const broken = async function* () {
    yield pictures[0];
    throw new RangeError('the camera is off');
  };
  await assert.rejects(encoder.embed({ frames: broken() }), RangeError);
  assert.equal((await encoder.embed({ frames: pictures })).length, 64);
  encoder.dispose();
});

test('one that the file lacks has its first missing tensor named; tightTransf is refused, with what to do', async () => {
  const mean = videos('clip4clip-meanP');
  await fails(load(mean, { temporal: 'seqTransf' }), 'weights/mismatch', 'frame_position_embeddings.weight is missing');
  await fails(load(mean, { temporal: 'seqLSTM' }), 'weights/mismatch', 'lstm_visual.weight_ih_l0 is missing');
  await fails(load(mean, { temporal: 'mean' }), 'input/type', 'temporal', 'meanP');
  await fails(load(mean, { maxFrames: 0 }), 'input/type', 'maxFrames');
  await fails(load(mean, { sampling: 'random' }), 'input/type', 'sampling');
  await fails(load(mean, { tokenizer: 'x.json' }), 'input/type', 'tokenizer');
  await fails(load({ ...mean, model: 'models/clip4clip.bin' }), 'model/not-a-path');
  const { tensors } = parseSafetensors(readFileSync(mean.weights));
  const one = { dtype: 'F32', shape: [1], bytes: Buffer.alloc(4) };
  const weights = buildSafetensors({ tensors: { ...tensors, 'similarity_dense.bias': one } });
  await fails(load({ ...mean, weights }), 'model/unsupported', 'tightTransf', 'meanP');
  const anyway = await load({ ...mean, weights }, { temporal: 'meanP' });
  assert.equal(anyway.info.temporal, 'meanP');
  anyway.dispose();
  const transformer = await load(videos('clip4clip-seqTransf'), { temporal: 'meanP' });
  assert.equal(transformer.info.temporal, 'meanP');
  transformer.dispose();
});

test("Towhee's names are OpenCLIP's with QuickGELU", async () => {
  const { weights } = videos('clip4clip-meanP');
  for (const [name, patch] of [
    ['clip_vit_b32', 32],
    ['clip_vit_b16', 16],
  ])
    await fails(loadVideoEncoder({ model: name, weights }), 'weights/mismatch', `[768, 3, ${patch}, ${patch}]`);
});

test('any CLIP is a video tower with meanP: the bundled model, OpenCLIP and Hugging Face', async () => {
  const bundled = await loadVideoEncoder({ model: 'halfclip-emoji' });
  const image = await loadImageEncoder({ model: 'halfclip-emoji' });
  const one = await bundled.embed({ frames: [pictures[3]] });
  assert.ok(cosine(one, await image.embed(pictures[3])) > 0.999999);
  for (const encoder of [bundled, image]) encoder.dispose();
  for (const name of ['clip-bf16', 'openai', 'hugging-face-quick-gelu']) {
    const { config: model, path: weights, expected } = golden(name);
    const encoder = await loadVideoEncoder({ model, weights, dtype: 'fp32' });
    assert.equal(encoder.info.temporal, 'meanP');
    const pixels = rows(expected.pixels);
    const vector = await encoder.embedPixels(Float32Array.from(pixels.flatMap((frame) => [...frame])));
    const mean = new Float32Array(encoder.info.dim);
    for (const frame of rows(expected.image_features)) {
      const length = Math.hypot(...frame);
      frame.forEach((value, k) => (mean[k] += value / length));
    }
    assert.ok(cosine(vector, mean) > 0.99999);
    encoder.dispose();
  }
});

test('halfclip shard --tower video: the same bits, at every type', async () => {
  const data = videos('clip4clip-seqTransf-3d');
  const config = fileURLToPath(new URL('clip4clip-seqTransf-3d.json', VIDEOS));
  const source = ['--model', config, '--weights', data.weights];
  for (const dtype of ['fp32', 'fp16', 'int8', 'int4']) {
    const out = path.join(folder, `${dtype}.safetensors`);
    const args = ['shard', '--tower', 'video', '--dtype', dtype, '--out', out, ...source];
    assert.equal(JSON.parse(await program.works(args)).tower, 'video');
    const [whole, shard] = [await load(data, { dtype }), await loadVideoEncoder({ weights: out })];
    assert.equal(shard.info.dtype, dtype);
    for (const key of ['temporal', 'seen', 'logitScale', 'mostFrames'])
      assert.equal(shard.info[key], whole.info[key], key);
    assert.deepEqual(await shard.embedPixels(data.videos), await whole.embedPixels(data.videos));
    for (const encoder of [whole, shard]) encoder.dispose();
    await fails(loadImageEncoder({ weights: out }), 'weights/mismatch', 'video');
  }
  const profile = await program.works(['profile', '--weights', path.join(folder, 'int8.safetensors'), '--runs', '1']);
  assert.match(profile, /visual\.transformer/); // of a frame
  assert.match(profile, /transformerClip/);
  assert.doesNotMatch(profile, /NaN/);
  const plain = path.join(folder, 'plain.safetensors');
  await program.works(['shard', '--tower', 'video', '--temporal', 'meanP', '--out', plain, ...source]);
  const encoder = await loadVideoEncoder({ weights: plain });
  assert.equal(encoder.info.temporal, 'meanP');
  encoder.dispose();
});

test('a kept tower is of the head that was asked for', async () => {
  const data = videos('clip4clip-seqTransf');
  const server = await FaultServer.start({ '/model.bin': inMemory(readFileSync(data.weights)) });
  const weights = `${server.base}/model.bin`;
  const cache = { dir: path.join(folder, 'cache') };
  const found = {};
  for (const temporal of ['auto', 'meanP', 'auto', 'meanP']) {
    const encoder = await load({ ...data, weights }, { temporal, cache });
    const [vector] = await encoder.embedPixels([data.videos[0]]);
    assert.equal(encoder.info.cached, temporal in found);
    assert.equal(encoder.info.temporal, temporal === 'auto' ? 'seqTransf' : 'meanP');
    if (found[temporal]) assert.deepEqual(vector, found[temporal]);
    found[temporal] = vector;
    encoder.dispose();
  }
  await server.close();
});

test('maxTokens cuts texts as max_words does', async () => {
  const text = await loadTextEncoder({ model: 'halfclip-emoji' });
  const cut = await loadTextEncoder({ model: 'halfclip-emoji', maxTokens: 6 });
  const long = 'a red apple on a green table beside a yellow cat';
  const [whole, short] = [await text.tokenize(long), await cut.tokenize(long)];
  assert.equal(short.length, whole.length);
  assert.deepEqual([...short.slice(0, 5)], [...whole.slice(0, 5)]);
  assert.equal(
    short[5],
    whole.findLast((id) => id > 0),
  );
  assert.ok(short.slice(6).every((id) => id === 0));
  assert.deepEqual(await cut.tokenize('a cat'), await text.tokenize('a cat'));
  assert.deepEqual(await cut.embed(long), await text.embedTokens(short));
  for (const encoder of [text, cut]) encoder.dispose();
  await fails(loadTextEncoder({ model: 'halfclip-emoji', maxTokens: 1 }), 'input/type', 'maxTokens');
});
