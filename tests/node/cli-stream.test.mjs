// `halfclip embed --input jsonl --out -` as a part of a pipe, driven by another program: line by line, in order, with
// bounded memory, whatever the lines hold.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import { CLI, jsonLines, programIn } from './cli-program.mjs';

const folder = mkdtempSync(path.join(tmpdir(), 'halfclip-'));
const { run, works, fails } = programIn(folder);
after(() => rmSync(folder, { recursive: true }));

const STREAM = ['embed', '--input', 'jsonl', '--out', '-', '--errors', 'output'];
const OWL = fileURLToPath(new URL('../pictures/owl.jpg', import.meta.url));
const dataUrl = (bytes) => `data:application/octet-stream;base64,${bytes.toString('base64')}`;
const lineOf = (record) => `${JSON.stringify(record)}\n`;

/** A program that asks and waits for each answer; asking again before the answer has come is a mistake of the test. */
function startDialogue(args) {
  const child = spawn(process.execPath, [CLI, ...args], { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    child,
    async ask(line) {
      child.stdin.write(line);
      return JSON.parse((await lines.next()).value);
    },
    async end() {
      const closed = once(child, 'close');
      child.stdin.end();
      assert.equal((await lines.next()).done, true);
      return closed;
    },
  };
}

test('each line has its answer before the next one is written, bad lines too', async () => {
  const { ask, end } = startDialogue([...STREAM, '--tower', 'text']);
  const failure = async (line) => {
    const { error, embedding, ...others } = await ask(line);
    assert.equal(embedding, undefined);
    assert.equal(error.code, 'input/type');
    return [`${error.where}: ${error.message}`, others];
  };
  assert.deepEqual(await failure('{"id": 1, "tex": "first"}\n'), [
    'line 1: has no string "text"',
    { id: 1, tex: 'first' },
  ]);
  const { embedding, ...record } = await ask('\n \n{"id": 2, "text": "a cat", "embedding": 3}\r\n');
  assert.equal(embedding.length, 192);
  assert.deepEqual(record, { id: 2, text: 'a cat' });
  assert.match((await failure('no JSON\n'))[0], /^line 5: is not JSON/);
  assert.match((await failure('[1]\n'))[0], /^line 6: is no JSON object/);
  assert.match((await failure('{"image": "a.png"}\n'))[0], /^line 7: has "image", which needs --tower image/);
  assert.equal((await ask('{"id": 8, "text": ""}\n')).id, 8);
  assert.deepEqual(await end(), [0, null]);
});

test('the same of pictures: files that are there, that are not, and pictures in the line itself', async () => {
  const bytes = readFileSync(OWL);
  const { ask, end } = startDialogue([...STREAM, '--tower', 'image']);
  const { embedding } = await ask(lineOf({ id: 1, image: OWL }));
  assert.deepEqual(await ask(lineOf({ id: 2, image: dataUrl(bytes), by: 'me' })), { id: 2, by: 'me', embedding });
  const { error } = await ask(lineOf({ id: 3, image: 'none.png' }));
  assert.deepEqual(error, { code: 'input/decode', message: 'none.png: there is no such file', where: 'line 3' });
  const cut = await ask(lineOf({ image: dataUrl(bytes.subarray(0, 2000)) }));
  assert.deepEqual(Object.keys(cut), ['error']);
  assert.equal(cut.error.where, 'line 4');
  for (const wrong of ['data:;base64,aGVs*bG8=', 'data:;base64,aGVsbG8gd', 'data:;base64,', 'data:,no picture']) {
    assert.equal((await ask(lineOf({ image: wrong }))).error.code, 'input/decode', wrong);
  }
  const spaced = dataUrl(bytes).replace(/.{76}/g, '$&\n'); // as many programs write base64
  assert.deepEqual((await ask(lineOf({ image: spaced }))).embedding, embedding);
  const escaped = dataUrl(bytes).replaceAll('+', '%2B').replaceAll('/', '%2F');
  assert.deepEqual((await ask(lineOf({ image: escaped }))).embedding, embedding);
  assert.deepEqual(await end(), [0, null]);
});

test('a picture of 24 MB in a line', async () => {
  const side = 2900;
  const size = 54 + side * side * 3;
  const picture = Buffer.alloc(size, 90);
  picture.fill(0, 0, 54);
  picture.write('BM');
  for (const [at, value] of [[2, size], [10, 54], [14, 40], [18, side], [22, side], [26, 1 | (24 << 16)]]) picture.writeUInt32LE(value, at); // prettier-ignore
  for (let i = 54; i < size; i += 3 * 97) picture[i] = i % 251;
  writeFileSync(path.join(folder, 'large.bmp'), picture);
  const lines = [{ image: 'large.bmp' }, { image: dataUrl(picture) }, { image: dataUrl(picture) }].map(lineOf);
  const [first, ...others] = jsonLines(await works([...STREAM, '--tower', 'image'], lines.join('')));
  assert.equal(first.embedding.length, 192);
  for (const other of others) assert.deepEqual(other, { embedding: first.embedding });
});

test('a line without end is dropped as it comes, and told', async () => {
  const child = spawn(process.execPath, ['--max-old-space-size=200', CLI, ...STREAM], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  let stdout = '';
  child.stdout.on('data', (data) => (stdout += data));
  const chunk = Buffer.alloc(1 << 20, 'x');
  child.stdin.write('{"text": "');
  for (let i = 0; i < 400; i++) if (!child.stdin.write(chunk)) await once(child.stdin, 'drain');
  child.stdin.end('"}\n{"text": "a cat"}\n');
  assert.deepEqual(await once(child, 'close'), [0, null]);
  const [long, cat] = jsonLines(stdout);
  assert.deepEqual(long.error, {
    code: 'input/size',
    message: `has ${400 * 2 ** 20 + 12} characters, expected at most ${2 ** 27}`,
    where: 'line 1',
  });
  assert.equal(cat.text, 'a cat');
});

test('a reader that is slow holds the writer up, and everything comes in order', async () => {
  const child = spawn(process.execPath, [CLI, ...STREAM], { stdio: ['pipe', 'pipe', 'inherit'] });
  const line = (id) => lineOf({ id, text: 'a cat', note: 'x'.repeat(2000) });
  const count = 2000; // 4 MB
  let sent = 0;
  const writing = (async () => {
    for (; sent < count; sent++) if (!child.stdin.write(line(sent))) await once(child.stdin, 'drain');
    child.stdin.end();
  })();
  let seen = -1;
  do {
    seen = sent;
    await sleep(1000);
  } while (sent > seen);
  assert.ok(sent < count / 2, `${sent} lines were taken while nobody read`);
  let expected = 0;
  for await (const answer of createInterface({ input: child.stdout })) assert.equal(JSON.parse(answer).id, expected++);
  assert.equal(expected, count);
  await writing;
});

test('what ends early is told: a line that is cut, and a tower that is not there', async () => {
  const [cat, cut] = jsonLines(await works(STREAM, '{"text": "a cat"}\n{"text": "a do'));
  assert.equal(cat.text, 'a cat');
  assert.match(cut.error.message, /^is not JSON/);
  await fails(
    [...STREAM, '--weights', 'none.safetensors'],
    1,
    /weights\/not-found: none\.safetensors/,
    '{"text": "a"}\n',
  );
});

test('without --errors output, the answers are the same, and what fails is reported', async () => {
  const lines = '{"text": "a cat"}\n{"tex": 1}\n{"text": "a dog"}\n';
  const { status, stdout, stderr } = await run(['embed', '--input', 'jsonl', '--out', '-'], lines);
  assert.equal(status, 1);
  assert.match(stderr, /^halfclip: line 2: input\/type: has no string "text"\nhalfclip: 1 of 3 inputs failed\n$/);
  const both = await works(STREAM, lines);
  assert.deepEqual(jsonLines(both).filter(({ error }) => !error), jsonLines(stdout)); // prettier-ignore
  assert.equal(stdout, (await run(['embed', '--input', 'jsonl'], lines)).stdout);
});

test('--errors output into a file, and what does not go with it', async () => {
  await works(['embed', '--input', 'jsonl', '--errors', 'output', '--out', 'a.jsonl'], '{"text": "a"}\n[]\n');
  const [first, second] = jsonLines(readFileSync(path.join(folder, 'a.jsonl'), 'utf8'));
  assert.equal(first.text, 'a');
  assert.deepEqual(second, { error: { code: 'input/type', message: 'is no JSON object', where: 'line 2' } });
  await fails([...STREAM, '--fail-fast'], 2, /--errors output goes on .* expected one of them/);
  await fails(['embed', '--errors', 'output', '--out', 'a.npy', 'a'], 2, /is for JSON lines, and --out is a\.npy/);
  await fails(['embed', '--errors', 'both', 'a'], 2, /--errors is both, expected report or output/);
});
