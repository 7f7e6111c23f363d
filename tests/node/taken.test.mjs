// When a photograph was taken: the dates that Pillow and ExifRead read in the same files, and nothing made up out of
// damaged and hostile ones.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import sharp from 'sharp';

import { takenAt } from '../../dist/exif.js';
import { HalfclipError } from '../../dist/index.js';

const GOLDEN = new URL('../golden/taken/', import.meta.url);
const expected = JSON.parse(readFileSync(new URL('taken.json', GOLDEN), 'utf8'));
const bytesOf = (name) => readFileSync(new URL(name, GOLDEN));
const names = Object.keys(expected);

/** What Pillow read, in the words of ISO 8601. */
function iso({ date, offset }) {
  if (date === null || date.startsWith('0000')) return null;
  return date.replace(/^(\d+):(\d+):(\d+) /, '$1-$2-$3T') + (offset ?? '');
}

for (const format of ['jpg', 'png', 'webp', 'avif', 'heic']) {
  test(`${format}: what Pillow reads`, async () => {
    const files = names.filter((name) => name.endsWith(`.${format}`));
    assert.equal(files.length, 6);
    for (const name of files) {
      const bytes = bytesOf(name);
      const inside = new Uint8Array(bytes.length + 100).fill(77);
      inside.set(bytes, 50);
      const sources = [
        new Blob([bytes]),
        bytes,
        Uint8Array.from(bytes).buffer,
        inside.subarray(50, 50 + bytes.length),
        new DataView(inside.buffer, 50, bytes.length),
      ];
      for (const source of sources) assert.equal(await takenAt(source), iso(expected[name]), name);
    }
  });
}

test('what sharp writes, of its own accord', async () => {
  const picture = () => sharp({ create: { width: 90, height: 70, channels: 3, background: 'red' } });
  const exif = { IFD0: { Make: 'A camera' }, IFD2: { DateTimeOriginal: '2019:07:14 12:30:05' } };
  for (const format of ['jpeg', 'png', 'webp', 'avif']) {
    const dated = await picture().withExif(exif).toFormat(format).toBuffer();
    assert.equal(await takenAt(new Blob([dated])), '2019-07-14T12:30:05', format);
    assert.equal(await takenAt(new Blob([await picture().toFormat(format).toBuffer()])), null, format);
  }
});

test('a date that there is not is none', async () => {
  const zone = bytesOf('no-zone-big.jpg');
  const at = zone.indexOf('2004:02:29 00:00:00');
  for (const [date, result] of [
    ['2024:02:29 23:59:59', '2024-02-29T23:59:59'],
    ['2023:02:29 00:00:00', null],
    ['2023:13:01 00:00:00', null],
    ['2023:12:01 24:00:00', null],
    ['2023:12:01 00:60:00', null],
    ['    :  :     :  :  ', null],
    ['yesterday, at five.', null],
    ['2023-12-01T00:00:00', null],
  ]) {
    const bytes = Buffer.from(zone);
    bytes.write(date, at, 'latin1');
    assert.equal(await takenAt(bytes), result, date);
  }
  const offsets = bytesOf('zone-big.jpg');
  for (const [offset, end] of [
    ['+14:00', '+14:00'],
    ['+15:00', ''],
    ['+01:60', ''],
    ['Paris.', ''],
  ]) {
    const bytes = Buffer.from(offsets);
    bytes.write(offset, bytes.indexOf('+02:00'), 'latin1');
    assert.equal(await takenAt(bytes), `2019-07-14T12:30:05${end}`, offset);
  }
});

test('cut off anywhere, it says the date or nothing, and nothing of what lies behind it', async () => {
  for (const name of names.filter((name) => name.startsWith('zone-'))) {
    const bytes = bytesOf(name);
    const date = iso(expected[name]);
    for (let end = 0; end < bytes.length; end++) {
      const found = await takenAt(bytes.subarray(0, end)); // the rest is still there, in the same buffer
      if (end % 10 === 0)
        assert.equal(found, await takenAt(Uint8Array.from(bytes.subarray(0, end))), `${name}, ${end}`);
      assert.ok([null, date, date.slice(0, 19)].includes(found), `${name}, ${end} bytes: ${found}`);
    }
  }
});

test('of damaged files it says a date that there is, or nothing, and soon', async () => {
  let state = 17;
  const random = () => (state = (state * 48271) % 2147483647) / 2147483647;
  const files = names.filter((name) => name.startsWith('zone-')).map(bytesOf);
  for (let round = 0; round < 10_000; round++) {
    const bytes = Uint8Array.from(files[round % files.length]);
    for (let changes = 1 + Math.floor(4 * random()); changes > 0; changes--) {
      const at = Math.floor(random() * bytes.length);
      bytes[at] = random() < 0.5 ? [0, 1, 8, 127, 128, 255][Math.floor(6 * random())] : Math.floor(256 * random());
    }
    const found = await takenAt(bytes);
    if (found === null) continue;
    assert.match(found, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d([+-]\d\d:\d\d)?$/);
    assert.ok(!Number.isNaN(Date.parse(found)), found);
  }
});

/** Boxes of the ISO base media file format, and full ones. */
function box(type, ...parts) {
  const body = Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(part, 'latin1') : part)));
  const head = Buffer.alloc(8);
  head.writeUInt32BE(8 + body.length);
  head.write(type, 4, 'latin1');
  return Buffer.concat([head, body]);
}

test('hostile files cost little', async () => {
  const least = Buffer.from([0, 0, 0, 0]);
  const infe = box('infe', '\x02\0\0\0', '\0\x01', '\0\0', 'Exif', '\0');
  const iinf = box('iinf', '\0\0\0\0', '\0\x01', infe);
  // Items without number, each with as many extents of no size as can be said.
  const items = Buffer.alloc(900_000);
  for (let at = 0; at < items.length; at += 6) items.writeUIntBE(0x0002_0000_ffff, at, 6);
  const iloc = box('iloc', '\0\0\0\0', '\0\0', '\xff\xff', items);
  const endless = Buffer.concat(Array.from({ length: 200_000 }, () => Buffer.from('JUNK\0\0\0\0', 'latin1')));
  const files = {
    'extents of a HEIC': Buffer.concat([box('ftyp', 'heic', least), box('meta', least, iinf, iloc)]),
    'boxes of a HEIC': Buffer.concat([
      box('ftyp', 'heic', least),
      ...Array.from({ length: 200_000 }, () => box('free')),
    ]),
    'chunks of a WebP': Buffer.concat([Buffer.from('RIFF\0\0\0\0WEBP', 'latin1'), endless]),
    'segments of a JPEG': Buffer.concat([
      Buffer.from([0xff, 0xd8]),
      Buffer.alloc(1 << 20, Buffer.from([0xff, 0xe2, 0, 0])),
    ]),
    'padding of a JPEG': Buffer.concat([Buffer.from([0xff, 0xd8]), Buffer.alloc(1 << 20, 255)]),
  };
  for (const [name, file] of Object.entries(files)) {
    let reads = 0;
    const blob = new Blob([file]);
    const slice = blob.slice.bind(blob);
    blob.slice = (...range) => (reads++, slice(...range));
    const before = process.cpuUsage();
    assert.equal(await takenAt(blob), null, name);
    const { user } = process.cpuUsage(before);
    assert.ok(reads <= 1010, `${name}: ${reads} reads`);
    assert.ok(user < 1e6, `${name}: ${user / 1000} ms`);
  }
});

test('not out of what is no picture; what is no file is an error', async () => {
  assert.equal(await takenAt(new Blob(['notes that are long enough to be looked into'])), null);
  assert.equal(await takenAt(new Blob([])), null);
  assert.equal(await takenAt(new Uint8Array(0)), null);
  for (const wrong of ['photo.jpg', 7, null, undefined, {}, [1, 2]])
    await assert.rejects(
      () => takenAt(wrong),
      (error) =>
        error instanceof HalfclipError && error.code === 'input/type' && /^takenAt\(\) got /.test(error.message),
    );
});
