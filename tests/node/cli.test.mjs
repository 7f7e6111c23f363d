// The command line, as a program is run.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';

import { loadImageEncoder, loadTextEncoder } from '../../dist/index.js';
import { UsageError, countOf, numberOf, positiveOf } from '../../web/cli/options.js';
import { CLI, jsonLines, programIn } from './cli-program.mjs';
import { cosine, golden, parseSafetensors, randomCheckpoint } from './support.mjs';

const clip = golden('clip');
const folder = mkdtempSync(path.join(tmpdir(), 'halfclip-'));
after(() => rmSync(folder, { recursive: true }));
const at = (name) => path.join(folder, name);
const { run, works, fails } = programIn(folder);

const { config, file } = randomCheckpoint({
  vision_cfg: { image_size: 32, patch_size: 8, width: 64, layers: 2 },
  text_cfg: { context_length: 77, vocab_size: 49408, width: 64, heads: 1, layers: 2 },
});
writeFileSync(at('model.safetensors'), file);
writeFileSync(at('config.json'), JSON.stringify({ model_cfg: config, preprocess_cfg: { mean: [0.5, 0.5, 0.5] } }));
const MODEL = ['--model', 'config.json', '--weights', 'model.safetensors'];

async function pictureFile(name, colour) {
  await sharp({ create: { width: 40, height: 30, channels: 3, background: colour } })
    .png()
    .toFile(at(name));
  return name;
}

test('--help and --version: each command tells its own options', async () => {
  const help = await works(['--help']);
  const options = {
    embed: [
      '--tower',
      '--decode',
      '--no-normalize',
      '--out',
      '--input',
      '--fail-fast',
      '--weights',
      '--dtype',
      '--threads',
    ],
    rank: ['--query', '--picture', '--top', '--json', '--image-weights', '--fail-fast', '--weights', '--cache-dir'],
    shard: ['--tower', '--out', '--vocabulary', '--weights', '--dtype'],
    inspect: ['--json', '--hub'],
    profile: ['--tower', '--runs', '--all', '--json', '--weights', '--dtype', '--threads'],
    verify: ['--tower', '--texts', '--at-least', '--json', '--weights', '--dtype', '--threads'],
    cache: ['ls', 'rm', '--all', '--cache-dir'],
    serve: ['folder', '--port'],
  };
  for (const [command, names] of Object.entries(options)) {
    assert.ok(help.includes(`halfclip ${command} `), command);
    const own = await works([command, '--help']);
    assert.ok(own.startsWith(`halfclip ${command}`), own);
    for (const name of names) assert.ok(own.includes(name), `${command} ${name}`);
    for (const other of Object.keys(options))
      if (other !== command) assert.ok(!own.includes(`halfclip ${other} `), `${command} is not about ${other}`);
    assert.equal(await works([command, '-h']), own);
  }
  assert.equal(
    await works(['--version']),
    `${JSON.parse(readFileSync(new URL('../../package.json', import.meta.url))).version}\n`,
  );
});

test('numbers in options', () => {
  const wrong = ['', ' ', 'x', '0', '-1', 'Infinity', 'NaN', '1,5'];
  for (const [read, right, others] of [
    [countOf, { 1: 1, 20: 20, '1e3': 1000 }, ['1.5', ...wrong]],
    [positiveOf, { 0.5: 0.5, '.25': 0.25, ' 3 ': 3 }, wrong],
    [(...given) => numberOf(...given, 'a number above 0 below 2', (x) => x > 0 && x < 2), { 1: 1 }, ['2', ...wrong]],
  ]) {
    assert.equal(read('some', undefined), undefined);
    for (const [text, number] of Object.entries(right)) assert.equal(read('some', text), number);
    for (const text of others)
      assert.throws(() => read('some', text), {
        constructor: UsageError,
        message: new RegExp(`^--some is ${text}, expected a (whole )?number `),
      });
  }
});

test('failures: a sentence on stderr, and a status', async () => {
  await fails([], 2, /halfclip embed/);
  await fails(['embedd'], 2, /^halfclip: usage: unknown command embedd/);
  await fails(['embed', '--colour'], 2, /--colour/);
  await fails(['inspect'], 2, /FILE/);
  await fails(['shard', '--out', 'x'], 2, /--tower/);
  await fails(['rank', 'a'], 2, /--query, --picture or --video/);
  await fails(['rank', '--query', 'a', '--top', 'x', 'b'], 2, /--top/);
  await fails(['rank', '--query', 'a', '--top', '1.5', 'b'], 2, /--top is 1\.5/);
  await fails(['embed', '--threads', '65', 'b'], 2, /--threads is 65, expected auto or a number from 1 to 64/);
  await fails(['rank', '--query', 'a', '--text-weights', 'model.safetensors', 'b'], 2, /needs --image-weights/);
  await fails(['rank', '--query', 'a', '--image-weights', 'model.safetensors', 'b'], 2, /needs --text-weights/);
  await fails(['inspect', '--dtype', 'int8', 'model.safetensors'], 2, /--dtype/);
  await fails(['cache', 'ls', '--model', 'ViT-B-32'], 2, /--model/);
  await fails(
    ['embed', '--model', 'ViT-B-33', '--weights', 'model.safetensors', 'a'],
    1,
    /^halfclip: model\/unknown: .*ViT-B-32/,
  );
  await fails(
    ['embed', '--model', 'nothing.json', '--weights', 'model.safetensors', 'a'],
    1,
    /^halfclip: model\/unknown: nothing\.json/,
  );
  await fails(
    ['embed', ...MODEL.slice(0, 3), 'none.safetensors', 'a'],
    1,
    /^halfclip: weights\/not-found: none\.safetensors/,
  );
  await fails(
    ['embed', ...MODEL, '--tower', 'image', '--decode', 'quick', 'none.png'],
    2,
    /--decode is quick, expected exact or fast/,
  );
  await fails(['embed', ...MODEL, '--tower', 'text', '--decode', 'fast', 'a cat'], 2, /--decode is for pictures/);
  await fails(['embed', ...MODEL, '--tower', 'image', 'none.png'], 1, /^halfclip: input\/decode: none\.png/);
  await fails(['inspect', 'config.json'], 1, /^halfclip: weights\/format: config\.json/);
  await fails(['shard', ...MODEL, '--tower', 'text', '--out', 'no/such/folder.safetensors'], 1, /folder\.safetensors/);
});

test('files that are something else: embed and inspect say what, as the loader does', async () => {
  const files = {
    'page.safetensors': ['<!doctype html><title>404</title>', 'format', /looks like an HTML page/],
    'zeros.safetensors': [new Uint8Array(400), 'format', /looks like a file of zeros/],
    'lfs.safetensors': [
      'version https://git-lfs.github.com/spec/v1\noid sha256:00\n',
      'format',
      /looks like a Git LFS pointer/,
    ],
    'gzip.safetensors': [Uint8Array.from([0x1f, 0x8b, 8, 0, 1, 2, 3, 4, 5, 6]), 'format', /looks like a gzip archive/],
    'noise.safetensors': [new Uint8Array(400).fill(7), 'format', /does not begin as a safetensors file does/],
    'empty.safetensors': ['', 'truncated', /ends at byte 0/],
  };
  for (const [name, [bytes, code, pattern]] of Object.entries(files)) {
    writeFileSync(at(name), bytes);
    for (const command of [
      ['inspect', name],
      ['embed', '--weights', name, 'a'],
    ]) {
      await fails(command, 1, new RegExp(`^halfclip: weights/${code}: .*${name}.*${pattern.source}`));
    }
  }
});

test('a path of an option that does not do: one line, and nothing left behind', async () => {
  const shard = ['shard', ...MODEL, '--tower', 'text', '--out'];
  mkdirSync(at('folder'));
  writeFileSync(at('notes.txt'), 'These are no merges, whatever their length is.');
  const before = readdirSync(folder).sort();
  await fails([...shard, 'no/o.safetensors'], 1, /^halfclip: option --out: no\/o\.safetensors: .+\n$/);
  await fails([...shard, 'notes.txt/o.safetensors'], 1, /^halfclip: option --out: .+\n$/);
  await fails([...shard, 'folder'], 1, /^halfclip: option --out: folder: is a folder\n$/);
  await fails(
    [...shard, 'o.safetensors', '--vocabulary', 'none.bin'],
    1,
    /^halfclip: option --vocabulary: none\.bin: there is no such file.*\n$/,
  );
  await fails(
    [...shard, 'o.safetensors', '--vocabulary', 'notes.txt'],
    1,
    /^halfclip: option --vocabulary: notes\.txt: is not a list of merges.*\n$/,
  );
  await fails(
    ['cache', 'ls', '--cache-dir', 'notes.txt'],
    1,
    /^halfclip: option --cache-dir: notes\.txt: is no folder.*\n$/,
  );
  const small = golden('real-shape');
  writeFileSync(at('small.json'), JSON.stringify(small.config));
  const merges = fileURLToPath(new URL('../../dist/clip-merges.bin', import.meta.url));
  await fails(
    [
      'shard',
      '--model',
      'small.json',
      '--weights',
      fileURLToPath(small.path),
      '--tower',
      'text',
      '--out',
      'o.safetensors',
      '--vocabulary',
      merges,
    ],
    1,
    /^halfclip: option --vocabulary: .*clip-merges\.bin: has 49408 tokens, the model 600\n$/,
  );
  assert.deepEqual(
    readdirSync(folder)
      .filter((name) => name !== 'small.json')
      .sort(),
    before,
  );
});

test('embed: a pretrained tag is no file whose tower is to be looked up', async () => {
  const asked = [];
  const hub = createServer(({ url }, response) => {
    asked.push(url);
    response.writeHead(404).end();
  });
  await new Promise((resolve) => hub.listen(0, '127.0.0.1', resolve));
  await run([
    'embed',
    '--model',
    'ViT-B-32',
    '--weights',
    'laion2b_s34b_b79k',
    '--hub',
    `http://127.0.0.1:${hub.address().port}`,
    'a',
  ]);
  hub.close();
  assert.match(asked[0] ?? '', /CLIP-ViT-B-32-laion2B-s34B-b79K/);
});

test('embed: an empty line is an empty text', async () => {
  const lines = jsonLines(await works(['embed', ...MODEL], 'a cat\n\na dog\n'));
  assert.deepEqual(
    lines.map(({ input }) => input),
    ['a cat', '', 'a dog'],
  );
});

test('embed: texts from arguments and from standard input', async () => {
  const lines = jsonLines(await works(['embed', ...MODEL, 'a cat', 'a dog']));
  assert.deepEqual(
    lines.map(({ input }) => input),
    ['a cat', 'a dog'],
  );
  assert.ok(lines.every(({ embedding }) => embedding.length === 16 && Math.abs(Math.hypot(...embedding) - 1) < 1e-5));
  assert.deepEqual(jsonLines(await works(['embed', ...MODEL], 'a cat\r\na dog\n')), lines);
  const raw = jsonLines(await works(['embed', ...MODEL, '--no-normalize', 'a cat']));
  assert.ok(Math.abs(Math.hypot(...raw[0].embedding) - 1) > 1e-3);
  assert.ok(cosine(raw[0].embedding, lines[0].embedding) > 0.99999);
});

test('embed: pictures', async () => {
  const red = await pictureFile('red.png', '#f00');
  const [line] = jsonLines(await works(['embed', ...MODEL, '--tower', 'image', '--dtype', 'fp32', red]));
  const image = await loadImageEncoder({
    model: JSON.parse(readFileSync(at('config.json'))),
    weights: at('model.safetensors'),
    dtype: 'fp32',
  });
  assert.deepEqual(Float32Array.from(line.embedding), await image.embed(at(red)));
  image.dispose();
});

test('rank: pictures by words, and words by picture', async () => {
  const pictures = await Promise.all(
    [
      ['r.png', '#e11'],
      ['g.png', '#1e1'],
      ['b.png', '#11e'],
    ].map(([name, colour]) => pictureFile(name, colour)),
  );
  const words = ['red', 'green', 'blue'];
  const vectors = async (tower, inputs) =>
    new Map(
      jsonLines(await works(['embed', ...MODEL, '--tower', tower, ...inputs])).map(({ input, embedding }) => [
        input,
        embedding,
      ]),
    );
  const [ofPictures, ofWords] = [await vectors('image', pictures), await vectors('text', words)];

  const byWords = jsonLines(await works(['rank', ...MODEL, '--json', '--query', 'green', ...pictures]));
  assert.deepEqual(byWords.map(({ input }) => input).sort(), [...pictures].sort());
  for (const { input, score } of byWords)
    assert.ok(Math.abs(score - cosine(ofWords.get('green'), ofPictures.get(input))) < 1e-5);
  assert.ok(byWords[0].score >= byWords[1].score && byWords[1].score >= byWords[2].score);

  const byPicture = jsonLines(await works(['rank', ...MODEL, '--json', '--picture', 'b.png'], words.join('\n')));
  for (const { input, score } of byPicture)
    assert.ok(Math.abs(score - cosine(ofWords.get(input), ofPictures.get('b.png'))) < 1e-5);
  const table = await works(['rank', ...MODEL, '--top', '2', '--query', 'green', ...pictures]);
  assert.deepEqual(
    table
      .trim()
      .split('\n')
      .map((line) => line.split('  ')[1]),
    byWords.slice(0, 2).map(({ input }) => input),
  );
});

for (const dtype of ['int4', 'int8', 'fp16', 'fp32']) {
  test(`shard: a tower at ${dtype} gives the same vectors as its checkpoint`, async () => {
    for (const tower of ['text', 'image']) {
      const out = at(`${tower}-${dtype}.safetensors`);
      const [report] = jsonLines(await works(['shard', ...MODEL, '--tower', tower, '--dtype', dtype, '--out', out]));
      const bytes = readFileSync(out);
      assert.equal(report.bytes, bytes.length);
      const { metadata, tensors } = parseSafetensors(bytes);
      assert.equal(metadata.format, 'pt');
      assert.equal(metadata.halfclip, '1');
      assert.equal(metadata.tower, tower);
      assert.equal(metadata.dtype, dtype);
      assert.deepEqual(JSON.parse(metadata.model_cfg), config);
      assert.deepEqual(JSON.parse(metadata.preprocess_cfg).mean, [0.5, 0.5, 0.5]);
      assert.equal(Boolean(tensors['halfclip.merges']), tower === 'text');

      const load = tower === 'text' ? loadTextEncoder : loadImageEncoder;
      const input =
        tower === 'text'
          ? 'a photo of a cat'
          : { data: Uint8Array.from({ length: 3072 }, (_, i) => i * 7), width: 32, height: 32 };
      const checkpoint = await load({
        model: JSON.parse(readFileSync(at('config.json'))),
        weights: at('model.safetensors'),
        dtype,
      });
      const shard = await load({ weights: out });
      assert.equal(shard.info.dtype, dtype);
      assert.equal(shard.info.parameters, checkpoint.info.parameters);
      assert.deepEqual(await shard.embed(input), await checkpoint.embed(input));
      // The config may be given as well.
      const again = await load({ model: JSON.parse(readFileSync(at('config.json'))), weights: out });
      assert.deepEqual(await again.embed(input), await shard.embed(input));
      for (const encoder of [checkpoint, shard, again]) encoder.dispose();

      const other = tower === 'text' ? loadImageEncoder : loadTextEncoder;
      await assert.rejects(other({ weights: out }), { code: 'weights/mismatch' });
    }
    assert.deepEqual(
      readdirSync(folder).filter((name) => name.endsWith('.tmp')),
      [],
    );
  });
}

test('a shard of another model than was asked for', async () => {
  await works(['shard', ...MODEL, '--tower', 'text', '--out', at('t.safetensors')]);
  await assert.rejects(loadTextEncoder({ model: 'ViT-B-32', weights: at('t.safetensors') }), {
    code: 'weights/mismatch',
  });
});

test('embed finds out which tower a shard holds', async () => {
  await works(['shard', ...MODEL, '--tower', 'image', '--out', at('i.safetensors')]);
  const name = await pictureFile('one.png', '#123');
  assert.equal(jsonLines(await works(['embed', '--weights', at('i.safetensors'), name])).length, 1);
  assert.match(
    await works(['inspect', at('i.safetensors')]),
    /^architecture: its own config\nactivation: GELU: its own config$/m,
  );
});

test("a vocabulary of one's own", async () => {
  const small = golden('real-shape');
  const merges = readFileSync(new URL('../../dist/clip-merges.bin', import.meta.url)).subarray(0, 4 * 80);
  writeFileSync(at('merges.bin'), merges);
  writeFileSync(at('small.json'), JSON.stringify(small.config));
  await works([
    'shard',
    '--model',
    'small.json',
    '--weights',
    fileURLToPath(small.path),
    '--tower',
    'text',
    '--vocabulary',
    'merges.bin',
    '--out',
    'small.safetensors',
  ]);
  const text = await loadTextEncoder({ weights: at('small.safetensors') });
  const ids = await text.tokenize('the cat');
  assert.equal(ids[0], 592);
  assert.ok(ids.includes(593));
  text.dispose();
});

test('inspect', async () => {
  const report = JSON.parse(await works(['inspect', '--json', fileURLToPath(clip.path)]));
  assert.equal(report.format, 'safetensors');
  assert.equal(report.bytes, readFileSync(clip.path).length);
  const { tensors } = parseSafetensors(readFileSync(clip.path));
  assert.equal(report.tensors.length, Object.keys(tensors).length);
  for (const { name, dtype, shape, bytes } of report.tensors)
    assert.deepEqual(
      { dtype, shape, bytes },
      { dtype: tensors[name].dtype, shape: tensors[name].shape, bytes: tensors[name].bytes.length },
    );
  assert.ok(report.towers.image.count > 20 && report.towers.text.count > 20);
  const summary = await works(['inspect', fileURLToPath(clip.path)]);
  assert.ok(summary.includes('image') && !summary.includes('visual.conv1.weight'));
  const table = await works(['inspect', '--tensors', fileURLToPath(clip.path)]);
  for (const word of ['visual.conv1.weight', 'ln_final.weight', 'image', 'text']) assert.ok(table.includes(word), word);
});

test('a pipe that closes early ends the program quietly', async () => {
  const child = spawn('bash', [
    '-c',
    `"${process.execPath}" "${CLI}" inspect "${fileURLToPath(clip.path)}" | head -n 1; exit \${PIPESTATUS[0]}`,
  ]);
  let stderr = '';
  child.stderr.on('data', (data) => (stderr += data));
  assert.equal(await new Promise((resolve) => child.on('close', resolve)), 0);
  assert.equal(stderr, '');
});
