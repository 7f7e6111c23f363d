// Tokenizers of Hugging Face's models: ids equal to those of OpenCLIP's HFTokenizer, over golden data of
// weights-tools/golden_tokenizers.py.

import assert from 'node:assert/strict';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';

import { loadImageEncoder, loadTextEncoder } from '../../dist/node.js';
import { createHuggingFaceTokenizer } from '../../web/text/hugging-face.js';
import { compactTokenizer } from '../../web/text/tokenizer-json.js';
import { Wasm } from '../../web/wasm/instance.js';
import { differences } from '../compare-tokenizers.mjs';
import { programIn } from './cli-program.mjs';
import { fails } from './fails.mjs';
import { buildSafetensors, golden, parseSafetensors } from './support.mjs';

const GOLDEN = fileURLToPath(new URL('../golden/tokenizers', import.meta.url));
const cases = JSON.parse(readFileSync(path.join(GOLDEN, 'cases.json'), 'utf8'));

for (const { tokenizer, text_cfg, texts } of cases) {
  test(`${tokenizer}: ids of OpenCLIP's HFTokenizer, ${JSON.stringify(text_cfg)}`, async () => {
    assert.ok(texts.length > 40);
    const [first] = await differences({ tokenizer: path.join(GOLDEN, tokenizer), text_cfg, texts });
    assert.equal(first, undefined);
  });
}

const { config, path: weights } = golden('text-long');
const { model_cfg } = config;
const model = { model_cfg: { ...model_cfg, text_cfg: { ...model_cfg.text_cfg, hf_tokenizer_name: 'made/nllb' } } };
const nllb = path.join(GOLDEN, 'nllb');
const [text, ids] = cases.find((each) => each.tokenizer === 'nllb').texts[5];
const french = cases
  .find(({ text_cfg }) => text_cfg.tokenizer_kwargs?.language)
  .texts.find(([each]) => each === text)[1];
const FILES = ['tokenizer.json', 'tokenizer_config.json'];

/** As many ids as the tower takes, of which the golden data may have fewer. */
const padded = (ids, length) => [...ids, ...Array(Math.max(0, length - ids.length)).fill(1)].slice(0, length);

async function tokenized(options) {
  const tower = await loadTextEncoder({ dtype: 'fp32', model, fetch: refuse, ...options });
  const found = Array.from(await tower.tokenize(text));
  const [vector] = [await tower.embed(text), await tower.embedTokens(Int32Array.from(found))].map(String);
  assert.equal(vector, String(await tower.embedTokens(await tower.tokenize(text))));
  tower.dispose();
  return found;
}

/** Numbers from 0 to 1 that a seed gives (mulberry32). */
function randomNumbers(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A server in place of the network, which has some files. */
function serving(files) {
  const asked = [];
  const fetch = async (url) => {
    asked.push(String(url));
    const file = files[String(url)];
    return file ? new Response(readFileSync(file)) : new Response('', { status: 404 });
  };
  return { asked, fetch };
}

const refuse = () => assert.fail('nothing is fetched');
const folder = mkdtempSync(path.join(tmpdir(), 'halfclip-tokenizers-'));
after(() => rmSync(folder, { recursive: true }));

test('a tokenizer beside the weights, or as the option says: a path, a URL, a Blob, a parsed file', async () => {
  copyFileSync(weights, path.join(folder, 'model.safetensors'));
  for (const name of FILES) copyFileSync(path.join(nllb, name), path.join(folder, name));
  const expected = padded(ids, 40);
  assert.deepEqual(await tokenized({ weights: path.join(folder, 'model.safetensors') }), expected);
  assert.deepEqual(await tokenized({ weights, tokenizer: path.join(nllb, 'tokenizer.json') }), expected);
  assert.deepEqual(await tokenized({ weights, tokenizer: pathToFileURL(path.join(nllb, 'tokenizer.json')) }), expected);
  const json = readFileSync(path.join(nllb, 'tokenizer.json'));
  const alone = await tokenized({ weights, tokenizer: new Blob([json]) }); // which does not know its class
  assert.deepEqual(alone, await tokenized({ weights, tokenizer: JSON.parse(json) }));
  assert.deepEqual(alone.slice(0, 5), expected.slice(1, 6));
  const both = { ...JSON.parse(json), tokenizer_config: JSON.parse(readFileSync(path.join(nllb, FILES[1]))) };
  assert.deepEqual(await tokenized({ weights, tokenizer: both }), expected);
});

test('the language of the texts', async () => {
  const tokenizer = path.join(nllb, 'tokenizer.json');
  assert.deepEqual(await tokenized({ weights, tokenizer, language: 'fra_Latn' }), padded(french, 40));
  const load = (options) => loadTextEncoder({ model, weights, tokenizer, ...options });
  await fails(load({ language: 'xyz_Latn' }), 'model/unsupported', 'xyz_Latn');
  await fails(
    load({ language: 'fra_Latn', tokenizer: path.join(GOLDEN, 'unigram/tokenizer.json') }),
    'model/unsupported',
    'languages',
  );
});

test('of the repository that the config names, nothing but the tokenizer is fetched, and only for texts', async () => {
  const base = 'https://hub.test/made/nllb/resolve/main';
  const { asked, fetch } = serving(Object.fromEntries(FILES.map((name) => [`${base}/${name}`, path.join(nllb, name)])));
  const options = { model, weights: readFileSync(weights), hub: 'https://hub.test', fetch };
  const tower = await loadTextEncoder(options);
  await tower.embedTokens(Int32Array.from(padded(ids, 40)));
  assert.deepEqual(asked, []);
  assert.deepEqual(Array.from(await tower.tokenize(text)), padded(ids, 40));
  await tower.tokenize(text);
  assert.deepEqual(
    asked,
    FILES.map((name) => `${base}/${name}`),
  );
  tower.dispose();
});

test('without a tokenizer token ids still work, and a text says where one was looked for', async () => {
  const { asked, fetch } = serving({});
  const tower = await loadTextEncoder({ model, weights, hub: 'https://hub.test', fetch });
  await tower.embedTokens(Int32Array.from(padded(ids, 40)));
  await fails(
    tower.embed(text),
    'weights/not-found',
    'https://hub.test/made/nllb/resolve/main/tokenizer.json',
    'embedTokens',
  );
  assert.equal(asked.length, 1);
  tower.dispose();
  await fails(
    loadTextEncoder({ model, weights, tokenizer: path.join(folder, 'none.json') }),
    'weights/not-found',
    'none.json',
  );
});

test('a tokenizer that cannot be computed, or is none, is an error that names what is wrong', async () => {
  const json = JSON.parse(readFileSync(path.join(nllb, 'tokenizer.json'), 'utf8'));
  const load = (tokenizer) => loadTextEncoder({ model, weights, tokenizer });
  await fails(load({ ...json, normalizer: { type: 'Nmt' } }), 'model/unsupported', '"Nmt"');
  await fails(
    load({ ...json, pre_tokenizer: { type: 'Split', pattern: { Regex: '(a+)+$' } } }),
    'model/unsupported',
    '(a+)+$',
  );
  await fails(load({ ...json, model: { type: 'WordLevel' } }), 'model/unsupported', '"WordLevel"');
  await fails(load({ ...json, model: { ...json.model, merges: ['a 猫'] } }), 'weights/format', 'merge');
  await fails(load({ ...json, model: { ...json.model, vocab: { a: 1e9 } } }), 'weights/format', 'id 1000000000');
  await fails(load({ ...json, added_tokens: 3 }), 'weights/format', 'is no tokenizer.json');
  await fails(load(new Blob(['{'])), 'weights/format', 'is not JSON');
  await fails(load(7), 'input/type', 'option tokenizer is the number 7');
  await fails(loadImageEncoder({ model, weights, tokenizer: json }), 'input/type', 'image tower');
});

test('a shard carries its tokenizer', async () => {
  const { works, fails } = programIn(folder);
  writeFileSync(path.join(folder, 'model.json'), JSON.stringify(model));
  const source = ['--model', 'model.json', '--weights', 'model.safetensors', '--tower', 'text'];
  for (const dtype of ['fp32', 'int8']) {
    await works(['shard', ...source, '--dtype', dtype, '--out', 'shard.safetensors']);
    const shard = path.join(folder, 'shard.safetensors');
    assert.deepEqual(
      await tokenized({ model: undefined, dtype: undefined, weights: shard, worker: dtype === 'int8' }),
      padded(ids, 40),
    );
    assert.deepEqual(await tokenized({ model: undefined, weights: shard, language: 'fra_Latn' }), padded(french, 40));
  }
  await works([
    'shard',
    ...source,
    '--tokenizer',
    path.join(GOLDEN, 'xlm-roberta/tokenizer.json'),
    '--out',
    'other.safetensors',
  ]);
  const other = await tokenized({
    model: undefined,
    dtype: undefined,
    weights: path.join(folder, 'other.safetensors'),
  });
  assert.notDeepEqual(other, padded(ids, 40));
  await fails(['shard', ...source, '--tokenizer', 'none.json', '--out', 'no.safetensors'], 1, /none\.json/);
});

test('a damaged tokenizer in a shard is an error', async () => {
  const shard = parseSafetensors(readFileSync(path.join(folder, 'shard.safetensors')));
  const { bytes } = shard.tensors['halfclip.tokenizer'];
  for (const length of [12, 40, bytes.length >> 1, bytes.length - 1]) {
    const cut = { dtype: 'U8', shape: [length], bytes: bytes.subarray(0, length) };
    const tower = await loadTextEncoder({
      weights: buildSafetensors({ ...shard, tensors: { ...shard.tensors, 'halfclip.tokenizer': cut } }),
    });
    await fails(tower.embed(text), 'weights/corrupt', 'damaged');
    tower.dispose();
  }
});

test('whatever bytes a tokenizer has, it works or is an error with a code', async () => {
  const wasm = await Wasm.create();
  const random = randomNumbers(5);
  for (const kind of ['unigram', 'byte-fallback', 'word-piece', 'nllb']) {
    const read = (name) => JSON.parse(readFileSync(path.join(GOLDEN, kind, name), 'utf8'));
    const whole = compactTokenizer(...FILES.map(read));
    for (let i = 0; i < 150; i++) {
      const bytes = whole.slice();
      for (let k = 0; k <= i % 4; k++)
        bytes[8 + Math.floor(random() * (bytes.length - 8))] = Math.floor(random() * 256);
      try {
        const tokenizer = createHuggingFaceTokenizer(wasm, {}, bytes, 'it');
        for (const each of ['a photo of a cat', '猫 ½ ﬁ <0x41>', ''])
          assert.equal(tokenizer.tokenize([each], 9)[0].length, 9);
      } catch (error) {
        assert.match(String(error.code), /^(weights|model)\//, error.stack);
      }
    }
  }
});

test('a tokenizer that would fill the memory is an error', async () => {
  const json = JSON.parse(readFileSync(path.join(nllb, 'tokenizer.json'), 'utf8'));
  const double = { type: 'Replace', pattern: { String: 'q' }, content: 'qq' };
  const normalizer = { type: 'Sequence', normalizers: Array(60).fill(double) };
  const tower = await loadTextEncoder({ model, weights, tokenizer: { ...json, normalizer } });
  await fails(tower.tokenize('a queen'), 'weights/corrupt', 'when it is normalized');
  tower.dispose();
});
