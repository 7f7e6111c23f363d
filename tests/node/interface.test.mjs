// The numbers and orders of web/wasm/interface.js are those of src/halfclip.h, wasm/exports.c and wasm/build.mk, as
// they are written there.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import * as js from '../../web/wasm/interface.js';
import { TEMPORALS } from '../../web/wasm/temporals.js';

const read = (name) => readFileSync(new URL(`../../${name}`, import.meta.url), 'utf8').replace(/\/\*[^]*?\*\//g, '');
const header = read('src/halfclip.h');
const exported = read('wasm/exports.c') + read('wasm/tools.c');

/** { name: number } of an enumeration, without the names' prefix. */
function enumeration(name) {
  const [, body] = new RegExp(`typedef enum ${name} \\{([^}]*)\\} ${name};`).exec(header);
  const entries = {};
  let next = 0;
  for (const item of body.split(',')) {
    const [, key, value = next] = /HC_(\w+)(?:\s*=\s*(\d+))?/.exec(item);
    entries[key] = Number(value);
    next = Number(value) + 1;
  }
  return entries;
}

/** The fields of a struct in the order in which a function writes them, as JavaScript calls them. */
function fieldsOf(name) {
  const [, body] = new RegExp(`EXPORT\\(${name}\\)[^{]*\\{[^]*?fields\\[\\d+\\] = \\{([^}]*)\\}`).exec(exported);
  return [...body.matchAll(/info\.(\w+)/g)].map(([, field]) =>
    field.replace(/_(\w)/g, (_, letter) => letter.toUpperCase()),
  );
}

/** An instance whose functions write the numbers 1, 2, 3 …; such as interface.js needs it. */
const counting = (name, length) => ({
  exports: { [name]: () => {} },
  alloc: () => 8,
  free: () => {},
  doubles: (pointer, count) => {
    assert.equal(count, length, `numbers of ${name}`);
    return Float64Array.from({ length }, (_, i) => i + 1);
  },
});

const upper = (entries, prefix = '') =>
  Object.fromEntries(Object.entries(entries).map(([key, value]) => [prefix + key.toUpperCase(), value]));

test('towers, types, ways to multiply, ways to clean', () => {
  assert.deepEqual(upper(js.TOWERS), enumeration('hc_tower'));
  assert.deepEqual(upper(TEMPORALS, 'TEMPORAL_'), enumeration('hc_temporal'));
  assert.deepEqual(upper(js.DTYPES), enumeration('hc_dtype'));
  assert.deepEqual(upper(js.DOTS, 'DOT_'), enumeration('hc_dot'));
  assert.deepEqual(upper(js.CLEANS, 'CLEAN_'), enumeration('hc_clean'));
});

test('modes of pictures, by their channels', () => {
  const { RGB, RGBA } = enumeration('hc_mode');
  assert.deepEqual(js.MODES, { 3: RGB, 4: RGBA });
});

test('what hc_wasm_info writes', () => {
  const fields = fieldsOf('hc_wasm_info');
  const names = { 1: 'text', 2: 'fp16' };
  const expected = Object.fromEntries(fields.map((field, i) => [field, names[i + 1] && i < 2 ? names[i + 1] : i + 1]));
  assert.deepEqual(js.readInfo(counting('hc_wasm_info', fields.length), 0), expected);
});

test('what hc_wasm_video writes', () => {
  const fields = fieldsOf('hc_wasm_video');
  const expected = Object.fromEntries(fields.map((field, i) => [field, i + 1]));
  assert.deepEqual(js.readVideo(counting('hc_wasm_video', fields.length), 0), expected);
});

test('what hc_wasm_picture_info writes, and the formats of pictures', () => {
  const fields = fieldsOf('hc_wasm_picture_info');
  assert.equal(fields[0], 'format');
  const formats = enumeration('hc_picture_format');
  for (const [format, number] of Object.entries(formats)) {
    const wasm = counting('hc_wasm_picture_info', fields.length);
    const { doubles } = wasm;
    wasm.doubles = (...args) => doubles(...args).fill(number, 0, 1);
    const { format: found, ...others } = js.readPictureInfo(wasm, { pointer: 8, length: 1 });
    assert.equal(found?.toUpperCase() ?? 'UNKNOWN', format);
    assert.deepEqual(others, Object.fromEntries(fields.map((field, i) => [field, i + 1]).slice(1)));
  }
});

test('the memory of several threads', () => {
  const makefile = read('wasm/build.mk');
  const bytes = (option) => Number(new RegExp(`--${option}=(\\d+)`).exec(makefile)[1]);
  assert.equal(js.SHARED_PAGES.initial * 65536, bytes('initial-memory'));
  assert.equal(js.SHARED_PAGES.maximum * 65536, bytes('max-memory'));
});

test('what hc_wasm_operation writes', () => {
  const fields = fieldsOf('hc_wasm_operation');
  const wasm = counting('hc_wasm_operation', fields.length);
  wasm.exports.hc_wasm_operation = () => 1;
  wasm.ints = () => [1, 2];
  wasm.string = (pointer) => ['', 'kind', 'name'][pointer];
  const expected = Object.fromEntries(fields.map((field, i) => [field, i + 1]));
  assert.deepEqual(js.readOperation(wasm, 0, 0), { kind: 'kind', name: 'name', ...expected });
  wasm.exports.hc_wasm_operation = () => 0;
  assert.equal(js.readOperation(wasm, 0, 1), null);
});

test('what hc_wasm_calibration_tensor writes', () => {
  const [, body] = /EXPORT\(hc_wasm_calibration_tensor\)[^{]*\{([^}]*)\}/.exec(read('wasm/calibrate.c'));
  const fields = [...body.matchAll(/out\[\d\] = .*tensor\.(\w+)(?:\[(\d)\])?/g)].map(
    ([, field, form]) => field + (form === undefined ? '' : ['4', '8'][form]),
  );
  assert.equal(fields.length, 4);
  const wasm = counting('hc_wasm_calibration_tensor', fields.length);
  let left = 2;
  wasm.exports.hc_wasm_calibration_tensor = () => left--;
  wasm.string = (pointer) => `tensor ${pointer}`;
  const expected = Object.fromEntries(fields.map((field, i) => [field, i + 1]));
  assert.deepEqual(js.readCalibrated(wasm, 0), [
    { name: 'tensor 2', ...expected },
    { name: 'tensor 1', ...expected },
  ]);
});
