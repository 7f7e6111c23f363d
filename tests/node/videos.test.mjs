// Videos in Node.js: which frames come of real files, what is wrong with others, and what a long one costs.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  readFileSync,
  readdirSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  mkdtempSync,
  rmSync,
} from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { pathToFileURL } from 'node:url';

import '../../web/node/index.js';
import { framesOf } from '../../web/video/frames.js';
import { fails } from './fails.mjs';
import { KINDS, ffmpeg, makeKind, makeVideo, numberIn } from './videos.mjs';

const skip = spawnSync('ffmpeg', ['-version']).error && 'this machine lacks ffmpeg: apt-get install ffmpeg';
const options = { skip };

let folder;
const files = {};

before(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'halfclip-'));
  if (skip) return;
  for (const name of Object.keys(KINDS)) files[name] = await makeKind(folder, name);
});

after(() => rmSync(folder, { recursive: true }));

async function read(source, given = {}) {
  const frames = [];
  for await (const frame of framesOf(source, { name: 'the input', ...given })) frames.push(frame);
  return frames;
}

const numbers = async (source, given) => (await read(source, given)).map(numberIn);

/** Processes of ffmpeg below this one. */
const decoding = () =>
  readdirSync('/proc').filter((id) => {
    try {
      const [, name, parent] = /^\d+ \((.*)\) \S (\d+)/s.exec(readFileSync(`/proc/${id}/stat`, 'utf8')) ?? [];
      return name === 'ffmpeg' && Number(parent) === process.pid;
    } catch {
      return false;
    }
  }).length;

for (const [name, { expected, end }] of Object.entries(KINDS)) {
  test(name, options, async () => {
    const frames = await read(files[name], { maxFrames: 100, end });
    assert.deepEqual(frames.map(numberIn), expected);
    assert.equal(frames[0].time, 0);
    for (const { data, width, height } of frames) {
      assert.deepEqual([width, height], [128, 96], 'turned as the file says');
      assert.equal(data.length, 3 * width * height);
    }
  });
}

test('options say which', options, async () => {
  const ntsc = files['ntsc.mp4'];
  assert.deepEqual(await numbers(ntsc, { start: 2, end: 4 }), [58, 87, 116]);
  assert.deepEqual(await numbers(ntsc, { maxFrames: 3 }), [0, 145, 290]);
  assert.deepEqual(await numbers(ntsc, { maxFrames: 3, sampling: 'head' }), [0, 29, 58]);
  assert.deepEqual(await numbers(ntsc, { maxFrames: 3, sampling: 'tail' }), [232, 261, 290]);
  assert.deepEqual(await numbers(ntsc, { sampling: 'uniform', maxFrames: 5 }), [0, 74, 149, 223, 298]);
  assert.deepEqual(
    await numbers(ntsc, { fps: 29, maxFrames: 299 }),
    Array.from({ length: 299 }, (_, i) => i),
  );
  assert.deepEqual(await numbers(files['one.mp4'], { sampling: 'uniform', maxFrames: 3 }), [0, 0, 0]);
  assert.deepEqual(
    (await read(files['variable.mp4'], { start: 1.5, end: 8 })).map(({ time }) => time.toFixed(3)),
    ['1.500', '2.500', '3.500', '4.500', '5.500', '6.500', '7.500'],
  );
  for (const [given, pattern] of [
    [{ start: -1 }, /option start is the number -1/],
    [{ end: NaN }, /option end is the number NaN/],
    [{ start: '1' }, /option start is the string "1"/],
    [{ start: 3, end: 2 }, /option end is 2, expected at least the 3/],
    [{ start: 60 }, /ntsc\.mp4: has no frame from 60 s to its end: it lasts 9\.977 s/],
  ])
    await fails(read(ntsc, given), 'input/type', pattern);
});

test('from bytes, a Blob, a URL of a file and a server', options, async () => {
  const { expected } = KINDS['film.mp4'];
  const bytes = readFileSync(files['film.mp4']);
  assert.deepEqual(await numbers(bytes), expected);
  assert.deepEqual(await numbers(new Uint8Array(bytes).buffer), expected);
  assert.deepEqual(await numbers(new Blob([bytes])), expected);
  assert.deepEqual(await numbers(pathToFileURL(files['film.mp4'])), expected);
  const served = await serve({ '/film.mp4': bytes });
  try {
    assert.deepEqual(await numbers(`${served.url}/film.mp4`), expected);
    await fails(read(`${served.url}/none.mp4`), 'http/status', /none\.mp4: HTTP status 404/);
    const own = (url, init) => fetch(String(url).replace('/token', ''), init);
    assert.deepEqual(
      await numbers(`${served.url}/token/film.mp4`, { fetch: own }),
      expected,
      "by a fetch of one's own",
    );
  } finally {
    served.close();
  }
});

test('sound besides, and sound alone', options, async () => {
  const sound = ['-f', 'lavfi', '-i', 'sine=duration=6'];
  const [both, alone] = ['both.mp4', 'alone.m4a'].map((name) => path.join(folder, name));
  await ffmpeg(['-i', files['film.mp4'], ...sound, '-c:v', 'copy', '-c:a', 'aac', both]);
  await ffmpeg([...sound, '-c:a', 'aac', alone]);
  assert.deepEqual(await numbers(both), KINDS['film.mp4'].expected);
  await fails(read(alone), 'input/decode', /alone\.m4a: has no video, only sound/);
});

test('files that are cut off', options, async () => {
  const [whole, cut, head] = ['whole.mp4', 'cut.mp4', 'head.mp4'].map((name) => path.join(folder, name));
  await ffmpeg(['-i', files['ntsc.mp4'], '-c', 'copy', '-movflags', '+faststart', whole]);
  writeFileSync(cut, readFileSync(whole));
  truncateSync(cut, Math.round(0.7 * statSync(whole).size));
  await fails(
    read(cut),
    'input/decode',
    /cut\.mp4: there is no frame at \S+ s, though the file says that it lasts 9\.977 s/,
  );
  assert.deepEqual(await numbers(cut, { end: 1 }), [0, 29], 'what is there');
  writeFileSync(head, readFileSync(files['ntsc.mp4']));
  truncateSync(head, Math.round(0.5 * statSync(head).size));
  await fails(read(head), 'input/decode', /head\.mp4: cannot be read as a video: moov atom not found; /);
  const webm = path.join(folder, 'cut.webm');
  writeFileSync(webm, readFileSync(files['thirty.webm']));
  truncateSync(webm, Math.round(0.5 * statSync(webm).size));
  await fails(read(webm), 'input/decode', /cut\.webm: there is no frame at/);
});

test('what is no video', options, async () => {
  const write = (name, content) => {
    writeFileSync(path.join(folder, name), content);
    return path.join(folder, name);
  };
  await fails(read(write('empty.mp4', '')), 'input/decode', /empty\.mp4: is empty/);
  await fails(read(new Uint8Array(0)), 'input/decode', /the input: is empty/);
  await fails(read(write('text.mp4', 'no video at all')), 'input/decode', /text\.mp4: cannot be read as a video/);
  await fails(read(path.join(folder, 'none.mp4')), 'input/decode', /none\.mp4: there is no such file/);
  await fails(read(folder), 'input/decode', /is not a file/);
  await fails(read(''), 'input/type', /the input is the string "", expected a video/);
  for (const source of [3, null, undefined, {}, []]) await fails(read(source), 'input/type', /expected a video/);
});

test('no name and no content makes ffmpeg read anything else', options, async () => {
  const { expected } = KINDS['film.mp4'];
  const names = [
    '-i',
    '-version',
    '--help',
    'concat:film.mp4|film.mp4',
    'film%03d.mp4',
    'a \'b\' "c" $(d).mp4',
    'pipe:0',
    'data:,x',
    'line\nbreak.mp4',
  ];
  for (const name of names) {
    const place = path.join(folder, name);
    symlinkSync(files['film.mp4'], place);
    assert.deepEqual(await numbers(place), expected, name);
  }
  const here = process.cwd();
  try {
    process.chdir(folder);
    for (const name of names.filter((name) => !/^data:/.test(name)))
      assert.deepEqual(await numbers(name), expected, name);
  } finally {
    process.chdir(here);
  }
  for (const [name, text] of Object.entries({
    'list.mp4': `ffconcat version 1.0\nfile film.mp4\n`,
    'playlist.mp4': `#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\nntsc.ts\n#EXT-X-ENDLIST\n`,
  })) {
    writeFileSync(path.join(folder, name), text);
    await fails(read(path.join(folder, name)), 'input/decode', /cannot be read as a video/);
  }
});

test('an abort or a break ends ffmpeg', options, async () => {
  const reason = new Error('enough');
  await assert.rejects(read(files['film.mp4'], { signal: AbortSignal.abort(reason) }), reason);
  const controller = new AbortController();
  const { signal } = controller;
  const all = { fps: 29, maxFrames: 299, signal };
  let count = 0;
  await assert.rejects(async () => {
    for await (const _ of framesOf(files['ntsc.mp4'], { name: 'x', ...all }))
      if (++count === 3) controller.abort(reason);
  }, reason);
  assert.equal(count, 3);
  for await (const _ of framesOf(files['ntsc.mp4'], { name: 'x', fps: 29, maxFrames: 299 })) break;
  for (let i = 0; i < 100 && decoding(); i++) await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(decoding(), 0);
});

test('without ffmpeg an error says what to install', options, async () => {
  const { PATH } = process.env;
  process.env.PATH = folder;
  try {
    await fails(
      read(files['film.mp4']),
      'input/decode',
      /film\.mp4: .*needs the programs ffmpeg and ffprobe on the PATH: install ffmpeg/,
    );
  } finally {
    process.env.PATH = PATH;
  }
});

/** So that a film has as many bytes as one of that size would have. */
const NOISE = ['-vf', 'noise=alls=12:allf=t', '-b:v', '130k'];

test('a film of two hours costs its frames: a few seconds, a small part of its bytes', options, async () => {
  const [minute, film] = ['minute.mp4', 'film-of-two-hours.mp4'].map((name) => path.join(folder, name));
  await makeVideo(minute, { frames: 1500, rate: 25, args: [...NOISE, ...KINDS['film.mp4'].args] });
  await ffmpeg(['-stream_loop', '119', '-i', minute, '-c', 'copy', '-movflags', '+faststart', film]);
  const seconds = [0, 654, 1308, 1963, 2617, 3272, 3926, 4581, 5235, 5890, 6544, 7199];
  const started = performance.now();
  const frames = await read(film);
  const took = performance.now() - started;
  assert.deepEqual(
    frames.map(({ time }) => time),
    seconds,
  );
  assert.deepEqual(
    frames.map(numberIn),
    seconds.map((second) => (second % 60) * 25),
  );
  assert.ok(took < 60_000, `${took} ms`);

  const bytes = readFileSync(film);
  const served = await serve({ '/film.mp4': bytes });
  try {
    assert.deepEqual((await numbers(`${served.url}/film.mp4`)).length, 12);
  } finally {
    served.close();
  }
  assert.ok(served.sent < 0.4 * bytes.length, `${served.sent} of ${bytes.length} bytes`);
});

/** A server that sends files by ranges, and counts what it sends. */
async function serve(contents) {
  const sockets = new Set();
  const server = createServer((request, response) => {
    const bytes = contents[request.url];
    if (!bytes) return response.writeHead(404).end();
    const [, from, to] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '') ?? [];
    if (from === undefined) return response.writeHead(200, { 'content-length': bytes.length }).end(bytes);
    const end = Math.min(bytes.length, to ? Number(to) + 1 : bytes.length);
    return response
      .writeHead(206, { 'content-range': `bytes ${from}-${end - 1}/${bytes.length}`, 'content-length': end - from })
      .end(bytes.subarray(from, end));
  });
  server.on('connection', (socket) => sockets.add(socket));
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    get sent() {
      return [...sockets].reduce((sum, { bytesWritten }) => sum + bytesWritten, 0);
    },
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}
