// `halfclip embed` and `halfclip rank` over folders, lists and JSON lines: what fails, what is interrupted, what is
// seen on a terminal, and the formats of --out.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { asyncBufferFromFile, parquetReadObjects } from 'hyparquet';

import { loadImageEncoder, loadTextEncoder } from '../../dist/node.js';
import { CLI, jsonLines, programIn } from './cli-program.mjs';

const folder = mkdtempSync(path.join(tmpdir(), 'halfclip-'));
const at = (name) => path.join(folder, name);
const { run, works, fails } = programIn(folder);
const picture = (name) => fileURLToPath(new URL(`../pictures/${name}.jpg`, import.meta.url));

let image;
let text;

before(async () => {
  mkdirSync(at('album/b/deep'), { recursive: true });
  copyFileSync(picture('owl'), at('album/z.jpg'));
  copyFileSync(picture('key'), at('album/b/no-extension'));
  copyFileSync(picture('tiger'), at('album/b/deep/wrong.txt'));
  copyFileSync(picture('pizza'), at('album/a'));
  copyFileSync(picture('castle'), at('album/B'));
  writeFileSync(at('album/notes.jpg'), 'no picture, whatever its name says');
  writeFileSync(at('album/empty.png'), '');
  writeFileSync(at('album/drawing.svg'), '<svg xmlns="http://www.w3.org/2000/svg"/>');
  mkdirSync(at('nothing'));
  image = await loadImageEncoder({ model: 'halfclip-emoji' });
  text = await loadTextEncoder({ model: 'halfclip-emoji' });
});

after(() => {
  image.dispose();
  text.dispose();
  rmSync(folder, { recursive: true });
});

const ALBUM = ['album/B', 'album/a', 'album/b/deep/wrong.txt', 'album/b/no-extension', 'album/z.jpg'];
const inputs = (output) => jsonLines(output).map(({ input }) => input);

/** The child process, and what it has printed so far. */
function start(command, args, options) {
  const child = spawn(command, args, { cwd: folder, ...options });
  const output = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr']) child[name].on('data', (data) => (output[name] += data));
  child.stdin.on('error', () => {});
  return { child, output };
}

async function until(condition) {
  for (let i = 0; i < 600 && !condition(); i++) await sleep(20);
  assert.ok(condition());
}

test('a folder: its pictures and those below it, by their content, in the order of their names', async () => {
  assert.deepEqual(inputs(await works(['embed', '--tower', 'image', 'album'])), ALBUM);
  assert.deepEqual(
    inputs(await works(['embed', '--tower', 'image', 'album/'])),
    ALBUM.map((name) => name.replace('album/', 'album/')),
  );
  assert.deepEqual(inputs(await works(['embed', '--tower', 'image', 'album/z.jpg', 'album/b'])), [
    'album/z.jpg',
    'album/b/deep/wrong.txt',
    'album/b/no-extension',
  ]);
  const lines = jsonLines(await works(['embed', '--tower', 'image', 'album']));
  for (const { input, embedding } of lines)
    assert.deepEqual(Float32Array.from(embedding), await image.embed(at(input)));
});

test('a folder with links, and names that are no UTF-8', async () => {
  mkdirSync(at('odd'));
  // "für" in Latin-1.
  copyFileSync(picture('owl'), Buffer.concat([Buffer.from(at('odd/')), Buffer.from([0x66, 0xfc, 0x72])]));
  symlinkSync(at('album/z.jpg'), at('odd/link'));
  symlinkSync(at('odd'), at('odd/loop'));
  symlinkSync(at('none'), at('odd/dangling'));
  const lines = jsonLines(await works(['embed', '--tower', 'image', 'odd']));
  assert.deepEqual(
    lines.map(({ input }) => input),
    ['odd/f\ufffdr', 'odd/link'],
  );
  assert.deepEqual(lines[0].embedding, lines[1].embedding);
});

test('a list from standard input: with folders in it, Windows line ends and a byte order mark', async () => {
  assert.deepEqual(inputs(await works(['embed', '--tower', 'image'], '\ufeffalbum/z.jpg\r\n\r\nalbum/b\r\n')), [
    'album/z.jpg',
    'album/b/deep/wrong.txt',
    'album/b/no-extension',
  ]);
  assert.deepEqual(inputs(await works(['embed'], '\ufeffa cat\r\n\r\nline\u2028separator\na\rb')), [
    'a cat',
    '',
    'line\u2028separator',
    'a\rb',
  ]);
  assert.equal(await works(['embed'], ''), '');
  assert.deepEqual(
    inputs(
      (
        await run(
          ['embed', '--tower', 'image'],
          Buffer.concat([Buffer.from([0xff, 0xfe, 10]), Buffer.from('album/a\n')]),
        )
      ).stdout,
    ),
    ['album/a'],
  );
});

test('what fails is reported, the others go on, and the status is 1', async () => {
  const { status, stdout, stderr } = await run([
    'embed',
    '--tower',
    'image',
    'album/a',
    'none.png',
    'album/notes.jpg',
    'nothing',
    'album/z.jpg',
  ]);
  assert.equal(status, 1);
  assert.deepEqual(inputs(stdout), ['album/a', 'album/z.jpg']);
  const reports = stderr.trim().split('\n');
  assert.match(reports[0], /^halfclip: input\/decode: none\.png: there is no such file/);
  assert.match(reports[1], /^halfclip: input\/decode: album\/notes\.jpg: /);
  assert.match(reports[2], /^halfclip: input\/decode: nothing: there is no picture in this folder/);
  assert.equal(reports[3], 'halfclip: 3 of 5 inputs failed');
  const listed = await run(['embed', '--tower', 'image'], 'album/a\nnone.png\n');
  assert.equal(listed.status, 1);
  assert.match(listed.stderr, /^halfclip: line 2: input\/decode: none\.png/);
});

test('--fail-fast stops at the first that fails', async () => {
  const { status, stdout, stderr } = await run([
    'embed',
    '--fail-fast',
    '--tower',
    'image',
    'album/a',
    'none.png',
    'album/z.jpg',
  ]);
  assert.equal(status, 1);
  assert.deepEqual(inputs(stdout), ['album/a']);
  assert.match(stderr, /^halfclip: input\/decode: none\.png: .*\n$/);
  const { child, output } = start(process.execPath, [CLI, 'embed', '--fail-fast', '--tower', 'image']);
  child.stdin.write('none.png\n'); // and standard input stays open
  const [code] = await once(child, 'close');
  assert.equal(code, 1);
  assert.equal(output.stdout, '');
});

test('JSON lines: fields travel along, and what is no such object is reported', async () => {
  const records = [
    { id: 7, text: 'a cat', tags: ['x', 'y'], embedding: [1] },
    { text: 'a dog', note: null },
  ];
  const lines = jsonLines(
    await works(['embed', '--input', 'jsonl'], records.map((record) => JSON.stringify(record)).join('\n')),
  );
  const [cat, dog] = await text.embed(['a cat', 'a dog']);
  assert.deepEqual(
    lines.map((line) => ({ ...line, embedding: Float32Array.from(line.embedding) })),
    [
      { ...records[0], embedding: cat },
      { ...records[1], embedding: dog },
    ],
  );

  const mixed = [
    '{"id": 1, "text": "a cat"}',
    '{"id": 2, "tex": "a dog"}',
    'no JSON',
    '[1]',
    '',
    '{"id": 3, "image": "album/a"}',
    '{"id": 4, "text": ""}',
  ].join('\r\n');
  const { status, stdout, stderr } = await run(['embed', '--input', 'jsonl'], mixed);
  assert.equal(status, 1);
  assert.deepEqual(
    jsonLines(stdout).map(({ id }) => id),
    [1, 4],
  );
  assert.deepEqual(
    [...stderr.matchAll(/^halfclip: line (\d+): input\/type: /gm)].map(([, line]) => line),
    ['2', '3', '4', '6'],
  );
  assert.match(stderr, /has "image", which needs --tower image/);

  const [owl] = jsonLines(
    await works(['embed', '--input', 'jsonl'], '{"id": "o", "image": "album/z.jpg", "by": "me"}\n'),
  );
  assert.deepEqual(
    { ...owl, embedding: Float32Array.from(owl.embedding) },
    { id: 'o', image: 'album/z.jpg', by: 'me', embedding: await image.embed(at('album/z.jpg')) },
  );
  await fails(['embed', '--input', 'jsonl', 'a'], 2, /--input jsonl reads standard input/);
  await fails(['embed', '--input', 'json'], 2, /--input is json, expected lines or jsonl/);
});

test('a text that is the name of a file is asked about', async () => {
  await fails(
    ['embed', 'a cat', 'album/z.jpg'],
    2,
    /^halfclip: usage: "album\/z\.jpg" is the name of a file or folder: --tower image .* --tower text/,
  );
  await fails(['embed', 'album'], 2, /--tower image/);
  await fails(['embed'], 2, /--tower image/, 'album/a\nalbum/z.jpg\n');
  assert.deepEqual(inputs(await works(['embed', '--tower', 'text', 'album/z.jpg'])), ['album/z.jpg']);
  const { status, stdout, stderr } = await run(['embed'], 'a cat\nalbum/a\na dog\n');
  assert.equal(status, 1);
  assert.deepEqual(inputs(stdout), ['a cat', 'a dog']);
  assert.match(stderr, /^halfclip: line 2: .*--tower image/);
});

test('each result is printed when it is there, long before standard input ends', async () => {
  const { child, output } = start(process.execPath, [CLI, 'embed']);
  for (const word of ['cat', 'dog', 'owl']) {
    child.stdin.write(`${word}\n`);
    await until(() => output.stdout.includes(`"input":"${word}"`) && output.stdout.endsWith('\n'));
  }
  child.stdin.end();
  assert.deepEqual(await once(child, 'close'), [0, null]);
});

test('numbers have the shortest form that reads back to the same float32', async () => {
  const [line] = (await works(['embed', 'a cat'])).split('\n');
  const numbers = /"embedding":\[(.*)\]/.exec(line)[1].split(',');
  const vector = await text.embed('a cat');
  assert.deepEqual(Float32Array.from(numbers, Number), vector);
  for (const number of numbers) {
    const digits = number
      .replace(/e.*/, '')
      .replace(/[-.]/g, '')
      .replace(/^0+|0+$/g, '');
    const shorter = Number(number).toPrecision(Math.max(1, digits.length - 1));
    assert.ok(digits.length === 1 || Math.fround(shorter) !== Math.fround(number), number);
  }
});

test('--out .npy: a matrix, and its ids beside it', async () => {
  await works(['embed', '--tower', 'image', '--out', 'v.npy', 'album']);
  const file = readFileSync(at('v.npy'));
  assert.equal(file.toString('latin1', 0, 8), '\x93NUMPY\x01\0');
  const header = file.toString('latin1', 10, 10 + file.readUInt16LE(8));
  assert.match(header, /^\{'descr': '<f4', 'fortran_order': False, 'shape': \(5, 192\), \} *\n$/);
  assert.equal((10 + header.length) % 64, 0);
  const numbers = new Float32Array(Uint8Array.from(file.subarray(10 + header.length)).buffer);
  assert.equal(numbers.length, 5 * 192);
  for (let i = 0; i < 5; i++)
    assert.deepEqual(numbers.subarray(192 * i, 192 * (i + 1)), await image.embed(at(ALBUM[i])));
  assert.deepEqual(JSON.parse(readFileSync(at('v.ids.json'), 'utf8')), ALBUM);
  await works(['embed', '--input', 'jsonl', '--out', 'ids.npy'], '{"id": 5, "text": "a"}\n{"text": "b"}\n');
  assert.deepEqual(JSON.parse(readFileSync(at('ids.ids.json'), 'utf8')), [5, 'b']);
  await works(['embed', '--out', 'none.npy'], '');
  assert.deepEqual(JSON.parse(readFileSync(at('none.ids.json'), 'utf8')), []);
  assert.match(readFileSync(at('none.npy'), 'latin1'), /'shape': \(0, 192\)/);
});

test('--out .csv, .jsonl and .parquet', async () => {
  const records = [
    { id: 1, text: 'a "cat", or\ntwo', ok: true, more: { a: 1 } },
    { id: 2.5, text: ' b', ok: null, more: [] },
  ];
  const given = records.map((record) => JSON.stringify(record)).join('\n');
  const vectors = await text.embed(records.map(({ text }) => text));
  for (const name of ['v.csv', 'v.jsonl', 'v.parquet'])
    assert.equal(await works(['embed', '--input', 'jsonl', '--out', name], given), '');

  const csv = readFileSync(at('v.csv'), 'utf8');
  assert.ok(csv.startsWith('id,text,ok,more,embedding_0,embedding_1,'));
  assert.ok(csv.includes('\r\n1,"a ""cat"", or\ntwo",true,"{""a"":1}",'));
  assert.ok(csv.includes('\r\n2.5," b",,[],') && csv.endsWith('\r\n'));
  assert.deepEqual(Float32Array.from(csv.split('\r\n')[2].split(',').slice(4), Number), vectors[1]);

  assert.equal(readFileSync(at('v.jsonl'), 'utf8'), await works(['embed', '--input', 'jsonl'], given));

  const rows = await parquetReadObjects({ file: await asyncBufferFromFile(at('v.parquet')) });
  assert.deepEqual(
    rows.map((row) => ({ ...row, embedding: Float32Array.from(row.embedding) })),
    records.map((record, i) => ({ ...record, embedding: vectors[i] })),
  );
  assert.deepEqual(
    readdirSync(folder).filter((name) => name.endsWith('.tmp')),
    [],
  );
});

test('--out .parquet of several groups of rows', async () => {
  const words = Array.from({ length: 6000 }, (_, i) => `word ${i}`);
  await works(['embed', '--out', 'many.parquet'], words.join('\n'));
  const rows = await parquetReadObjects({ file: await asyncBufferFromFile(at('many.parquet')) });
  assert.deepEqual(
    rows.map(({ input }) => input),
    words,
  );
  assert.deepEqual(Float32Array.from(rows[5999].embedding), await text.embed('word 5999'));
});

test('formats with columns have those of the first record; what has others is reported', async () => {
  for (const name of ['c.csv', 'c.parquet']) {
    const { status, stderr } = await run(
      ['embed', '--input', 'jsonl', '--out', name],
      '{"id":1,"text":"a"}\n{"id":2,"text":"b","more":1}\n{"text":"c"}\n',
    );
    assert.equal(status, 1);
    assert.match(
      stderr,
      /^halfclip: line 2: has the field "more".*expected id, text\nhalfclip: 1 of 3 inputs failed\n$/,
    );
  }
  const rows = await parquetReadObjects({ file: await asyncBufferFromFile(at('c.parquet')) });
  assert.deepEqual(
    rows.map(({ id, text }) => [id, text]),
    [
      [1, 'a'],
      [null, 'c'],
    ],
  );
  const typed = await run(
    ['embed', '--input', 'jsonl', '--out', 't.parquet'],
    '{"id":1,"text":"a"}\n{"id":"2","text":"b"}\n',
  );
  assert.match(typed.stderr, /^halfclip: line 2: its "id" is a string, the first one's was a number/);
});

test('an --out that does not do, or that is not complete, leaves nothing behind', async () => {
  const before = readdirSync(folder).sort();
  await fails(
    ['embed', '--out', 'v.txt', 'a'],
    2,
    /--out is v\.txt, expected a name that ends with \.jsonl, \.npy, \.csv, \.parquet/,
  );
  await fails(
    ['embed', '--out', 'no/v.npy', 'a'],
    1,
    /^halfclip: option --out: no\/v\.npy: there is no such file or folder\n$/,
  );
  await fails(['embed', '--out', 'album/a/v.csv', 'a'], 1, /^halfclip: option --out: album\/a\/v\.csv: .*\n$/);
  mkdirSync(at('is.npy'));
  await fails(['embed', '--out', 'is.npy', 'a'], 1, /^halfclip: option --out: is\.npy: .*\n$/);
  rmSync(at('is.npy'), { recursive: true });
  rmSync(at('is.ids.json'), { force: true });
  for (const format of ['npy', 'csv', 'jsonl', 'parquet']) {
    await fails(
      ['embed', '--fail-fast', '--tower', 'image', '--out', `x.${format}`, 'album/a', 'none.png'],
      1,
      /none\.png/,
    );
  }
  assert.deepEqual(readdirSync(folder).sort(), before);
});

test('without the package for Parquet: a sentence that says how to have it', async () => {
  const elsewhere = mkdtempSync(path.join(tmpdir(), 'halfclip-'));
  const dist = fileURLToPath(new URL('../../dist/', import.meta.url));
  mkdirSync(path.join(elsewhere, 'dist/models'), { recursive: true });
  for (const name of readdirSync(dist))
    if (/\.(js|cjs|wasm|bin)$/.test(name)) copyFileSync(path.join(dist, name), path.join(elsewhere, 'dist', name));
  writeFileSync(path.join(elsewhere, 'package.json'), '{"type":"module"}');
  const child = spawn(process.execPath, [path.join(elsewhere, 'dist/cli.js'), 'embed', '--out', 'v.parquet', 'a'], {
    cwd: elsewhere,
  });
  let stderr = '';
  child.stderr.on('data', (data) => (stderr += data));
  assert.deepEqual(await once(child, 'close'), [1, null]);
  assert.equal(
    stderr,
    'halfclip: option --out: v.parquet: writing Parquet needs the package hyparquet-writer: npm install hyparquet-writer\n',
  );
  rmSync(elsewhere, { recursive: true });
});

test('names that would command a terminal are shown, not obeyed', async () => {
  const name = 'b\x1b[31m\nd.png';
  copyFileSync(picture('owl'), at(name));
  assert.match(await works(['rank', '--query', 'an owl', name]), /^-?\d\.\d{4}  b\\u001b\[31m\\u000ad\.png\n$/);
  assert.deepEqual(inputs(await works(['embed', '--tower', 'image', name])), [name]);
  for (const args of [
    ['embed', name],
    ['embed', '--out', `no/${name}.csv`, 'a'],
    ['embed', '--tower', 'image', `none ${name}`],
  ]) {
    const { status, stderr } = await run(args);
    assert.notEqual(status, 0);
    assert.ok(/\\u001b/.test(stderr) && !stderr.includes('\x1b'), stderr);
  }
});

test('a disk that is full is told', async () => {
  const { child, output } = start('bash', ['-c', `"${process.execPath}" "${CLI}" embed a b > /dev/full`]);
  assert.deepEqual(await once(child, 'close'), [1, null]);
  assert.match(output.stderr, /^halfclip: standard output: .*ENOSPC/);
});

test('rank: folders and lists; what fails is left out and reported', async () => {
  const ranked = jsonLines(await works(['rank', '--json', '--query', 'an owl', 'album']));
  assert.deepEqual(ranked.map(({ input }) => input).sort(), [...ALBUM].sort());
  assert.equal(ranked[0].input, 'album/z.jpg');
  const { status, stdout, stderr } = await run(
    ['rank', '--query', 'an owl', '--top', '2'],
    'album/a\nnone.png\nalbum/z.jpg\nalbum/B\n',
  );
  assert.equal(status, 1);
  assert.deepEqual(
    stdout
      .trim()
      .split('\n')
      .map((line) => line.split('  ')[1]),
    ['album/z.jpg', stdout.trim().split('\n')[1].split('  ')[1]],
  );
  assert.match(stderr, /^halfclip: line 2: input\/decode: none\.png.*\nhalfclip: 1 of 4 inputs failed\n$/);
  await fails(
    ['rank', '--fail-fast', '--query', 'an owl', 'none.png', 'album/a'],
    1,
    /^halfclip: input\/decode: none\.png: .*\n$/,
  );
  await fails(['rank', '--query', 'an owl'], 2, /got nothing to rank/, '\n\n');
  const records = jsonLines(
    await works(
      ['rank', '--json', '--input', 'jsonl', '--query', 'an owl'],
      '{"id":1,"image":"album/a"}\n{"id":2,"image":"album/z.jpg","by":"me"}\n',
    ),
  );
  assert.deepEqual(
    records.map(({ id, by }) => [id, by]),
    [
      [2, 'me'],
      [1, undefined],
    ],
  );
  const words = jsonLines(
    await works(['rank', '--json', '--top', '1', '--picture', 'album/z.jpg'], 'a train\n\nan owl\n'),
  );
  assert.deepEqual(
    words.map(({ input }) => input),
    ['an owl'],
  );
});

test('memory does not grow with the number of lines', async () => {
  const { child } = start(process.execPath, ['--max-old-space-size=40', CLI, 'embed', '--out', 'long.jsonl']);
  const line = `${'a cat and a dog '.repeat(3000)}\n`; // 48 kB
  let sent = 0;
  for (; sent < 2000; sent++) if (!child.stdin.write(line)) await once(child.stdin, 'drain');
  child.stdin.end();
  assert.deepEqual(await once(child, 'close'), [0, null]);
  rmSync(at('long.jsonl'));
});

/** A command on a terminal of its own, whose keyboard is the child's standard input; standard output goes to a file. */
const onTerminal = (args, out) =>
  start('script', ['-qfec', `"${process.execPath}" "${CLI}" ${args} > "${out}"`, '/dev/null']);

test('on a terminal: n of N, the rate and the time left; --quiet without', async () => {
  mkdirSync(at('many'));
  for (let i = 0; i < 60; i++) copyFileSync(picture('owl'), at(`many/${i}`));
  const { child, output } = onTerminal('embed --tower image many none.png', 'many.jsonl');
  await once(child, 'close');
  assert.equal(jsonLines(readFileSync(at('many.jsonl'), 'utf8')).length, 60);
  assert.match(output.stdout, /\r\x1b\[K\d+ of 61 · [\d.]+\/s · \d+:\d\d left/);
  assert.match(output.stdout, /\r\x1b\[Khalfclip: input\/decode: none\.png: /);
  assert.ok(output.stdout.trimEnd().endsWith('halfclip: 1 of 61 inputs failed'));
  const quiet = onTerminal('embed --quiet --tower image many', 'many.jsonl');
  await once(quiet.child, 'close');
  assert.equal(quiet.output.stdout.replace(/[\s\0]/g, ''), '');
});

test('Ctrl-C leaves whole lines only, and no file that is not complete', async () => {
  const { child } = onTerminal(`embed --tower image ${'many '.repeat(200)}`, 'interrupted.jsonl');
  await until(() => existsSync(at('interrupted.jsonl')) && readFileSync(at('interrupted.jsonl')).length > 20_000);
  child.stdin.write('\x03');
  const [status] = await once(child, 'close');
  assert.equal(status, 130);
  const lines = readFileSync(at('interrupted.jsonl'), 'utf8');
  assert.ok(lines.endsWith('\n'));
  assert.ok(jsonLines(lines).every(({ embedding }) => embedding.length === 192));

  for (const format of ['npy', 'csv', 'jsonl', 'parquet']) {
    const { child } = start(process.execPath, [CLI, 'embed', '--out', `stopped.${format}`]);
    for (let i = 0; i < 500; i++) child.stdin.write(`word ${i}\n`);
    await until(() => readdirSync(folder).some((name) => name.startsWith('stopped')));
    child.kill(format === 'csv' ? 'SIGTERM' : 'SIGINT');
    assert.deepEqual(await once(child, 'close'), [null, format === 'csv' ? 'SIGTERM' : 'SIGINT']);
    assert.deepEqual(
      readdirSync(folder).filter((name) => name.startsWith('stopped')),
      [],
    );
  }
});

test('a reader that closes early ends a run quietly', async () => {
  const { child, output } = start('bash', [
    '-c',
    `"${process.execPath}" "${CLI}" embed --tower image many many | head -n 1; exit \${PIPESTATUS[0]}`,
  ]);
  assert.deepEqual(await once(child, 'close'), [0, null]);
  assert.equal(output.stderr, '');
  assert.equal(jsonLines(output.stdout).length, 1);
});

test('serve: the page, its own pictures, or those of a folder', async () => {
  const own = start(process.execPath, [CLI, 'serve', '--port', '0']);
  await until(() => own.output.stdout.includes('/demo/'));
  const page = /http:\S+\/demo\//.exec(own.output.stdout)[0];
  const get = async (name) => (await fetch(new URL(name, page))).text();
  assert.match(await get(''), /<title>.*halfclip/i);
  assert.match(await get('pictures/index.txt'), /^owl\.jpg$/m);
  own.child.kill('SIGINT');
  assert.deepEqual(await once(own.child, 'close'), [null, 'SIGINT']);

  const { child, output } = start(process.execPath, [CLI, 'serve', '--port', '0', 'album']);
  await until(() => output.stdout.includes('/demo/'));
  assert.match(output.stdout, /^5 pictures in album\n/);
  const url = /http:\S+\/demo\//.exec(output.stdout)[0];
  const names = (await (await fetch(`${url}pictures/index.txt`)).text()).trim().split('\n');
  assert.deepEqual(
    names,
    ALBUM.map((name) => name.slice('album/'.length)),
  );
  for (const name of names) {
    const response = await fetch(`${url}pictures/${encodeURIComponent(name)}`);
    assert.deepEqual(Buffer.from(await response.arrayBuffer()), readFileSync(at(`album/${name}`)));
  }
  assert.equal((await fetch(`${url}pictures/owl.jpg`)).status, 404);
  child.kill('SIGTERM');
  await once(child, 'close');
  await fails(['serve', 'none'], 2, /none is no folder/);
  await fails(['serve', '--port', 'x'], 2, /--port is x/);
});
