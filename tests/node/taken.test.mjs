// When a photograph was taken, as the page reads it out of EXIF.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import sharp from 'sharp';

import { takenAt } from '../../web/demo/taken.js';

const WHEN = new Date(2019, 6, 14, 12, 30, 5).getTime();
const picture = () => sharp({ create: { width: 8, height: 8, channels: 3, background: 'red' } });
const dated = (date) => picture().withExif({ IFD0: { Make: 'A camera' }, IFD2: { DateTimeOriginal: date } });
const bytesOf = (date, format) => dated(date).toFormat(format).toBuffer();

/** The big-endian kind, which sharp does not write. */
function bigEndian(date) {
  const tiff = Buffer.alloc(70);
  tiff.write('MM\0*', 0, 'latin1');
  tiff.writeUInt32BE(8, 4);
  tiff.writeUInt16BE(1, 8);
  const entry = (at, tag, type, length, value) => {
    tiff.writeUInt16BE(tag, at);
    tiff.writeUInt16BE(type, at + 2);
    tiff.writeUInt32BE(length, at + 4);
    tiff.writeUInt32BE(value, at + 8);
  };
  entry(10, 0x8769, 4, 1, 26);
  tiff.writeUInt16BE(1, 26);
  entry(28, 0x9003, 2, 20, 44);
  tiff.write(date, 44, 'latin1');
  const head = Buffer.from([0xff, 0xd8, 0xff, 0xe1, 0, tiff.length + 8]);
  return Buffer.concat([head, Buffer.from('Exif\0\0', 'latin1'), tiff]);
}

for (const format of ['jpeg', 'png', 'webp']) {
  test(`${format}: DateTimeOriginal, where there is one`, async () => {
    const bytes = await bytesOf('2019:07:14 12:30:05', format);
    assert.equal(await takenAt(new Blob([bytes])), WHEN);
    assert.equal(await takenAt(new Blob([await picture().toFormat(format).toBuffer()])), undefined);
    for (const nothing of ['0000:00:00 00:00:00', '    :  :     :  :  ', 'yesterday'])
      assert.equal(await takenAt(new Blob([await bytesOf(nothing, format)])), undefined, nothing);
    // Cut off anywhere, it says the date or nothing.
    for (let end = 0; end < bytes.length; end++)
      assert.ok([WHEN, undefined].includes(await takenAt(new Blob([bytes.subarray(0, end)]))), `${end} bytes`);
  });
}

test('of either byte order; not out of what is no picture', async () => {
  assert.equal(await takenAt(new Blob([bigEndian('2019:07:14 12:30:05')])), WHEN);
  assert.equal(await takenAt(new Blob(['notes that are long enough to be looked into'])), undefined);
});
