// What wasm/ adds to src/: the allocator, the digests and the hash, in every flavour that this engine runs.

import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { detectSimd } from '../../web/wasm/simd.js';

const FLAVOURS = detectSimd() === 'relaxed' ? ['relaxed', 'simd128'] : ['simd128'];
const modules = Object.fromEntries(
  FLAVOURS.map((flavour) => [
    flavour,
    new WebAssembly.Module(readFileSync(new URL(`../../dist/halfclip-${flavour}.wasm`, import.meta.url))),
  ]),
);
const start = (flavour) => new WebAssembly.Instance(modules[flavour], { env: { write: () => 0 } }).exports;

/** Numbers in 0 … n - 1, the same in every run. */
function generator(seed) {
  let state = seed;
  return (n) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
}

for (const flavour of FLAVOURS) {
  test(`${flavour}: one import, and no exported name of one letter`, () => {
    assert.deepEqual(
      WebAssembly.Module.imports(modules[flavour]).map(({ module, name }) => `${module}.${name}`),
      ['env.write'],
    );
    assert.ok(WebAssembly.Module.exports(modules[flavour]).every(({ name }) => name.length > 1));
  });

  test(`${flavour}: blocks of memory are aligned, apart, and keep what is in them`, () => {
    const exports = start(flavour);
    const random = generator(7);
    const first = exports.malloc(1);
    exports.free(first);
    const live = new Map(); // pointer to { size, byte }
    const view = (pointer, size) => new Uint8Array(exports.memory.buffer, pointer, size);
    const check = (pointer, size, byte) =>
      assert.ok(
        view(pointer, size).every((found) => found === byte),
        `block of ${size} at ${pointer}`,
      );
    let used = 0;
    let most = 0;
    for (let step = 0; step < 8000; step++) {
      const pointers = [...live.keys()];
      const growing = !live.size || random(live.size > 200 ? 6 : 10) >= 5;
      if (growing) {
        const size = random(8) ? random(3000) : random(200000);
        const pointer = exports.malloc(size) >>> 0;
        assert.ok(pointer && pointer % 16 === 0 && !live.has(pointer));
        view(pointer, size).fill(step & 255);
        live.set(pointer, { size, byte: step & 255 });
        used += size;
      } else {
        const pointer = pointers[random(pointers.length)];
        const { size, byte } = live.get(pointer);
        check(pointer, size, byte);
        live.delete(pointer);
        used -= size;
        if (random(3)) exports.free(pointer);
        else {
          const other = random(2) ? random(2 * size + 1) : random(20000);
          const moved = exports.realloc(pointer, other) >>> 0;
          assert.ok(moved && moved % 16 === 0 && !live.has(moved));
          check(moved, Math.min(size, other), byte);
          view(moved, other).fill(byte);
          live.set(moved, { size: other, byte });
          used += other;
        }
      }
      most = Math.max(most, used);
    }
    for (const [pointer, { size, byte }] of live) {
      check(pointer, size, byte);
      exports.free(pointer);
    }
    const { byteLength } = exports.memory.buffer;
    assert.ok(byteLength < 1.5 * most + 2e6, `${byteLength} bytes of memory for ${most} in use`);
    // All of it is free again, in one piece.
    assert.equal(exports.malloc(byteLength - first - 16), first);
    assert.equal(exports.memory.buffer.byteLength, byteLength, 'free neighbours have merged');
  });

  test(`${flavour}: the last block grows in place`, () => {
    const exports = start(flavour);
    const pointer = exports.malloc(10);
    new Uint8Array(exports.memory.buffer, pointer, 10).fill(7);
    for (let size = 10; size < 50e6; size *= 3) assert.equal(exports.realloc(pointer, size), pointer);
    assert.ok(new Uint8Array(exports.memory.buffer, pointer, 10).every((byte) => byte === 7));
    assert.ok(exports.memory.buffer.byteLength < 50e6);
    assert.equal(exports.realloc(pointer, 0xffffffff), 0);
  });

  test(`${flavour}: memory grows by what is asked for, and no further`, () => {
    const exports = start(flavour);
    const before = exports.memory.buffer.byteLength;
    assert.ok(exports.malloc(100e6));
    assert.ok(exports.memory.buffer.byteLength - before <= 100e6 + 2 * 65536);
  });

  test(`${flavour}: more than there is gives NULL, and the heap lives on`, () => {
    const exports = start(flavour);
    for (const size of [0xffffffff, 0xfffffff0, 0xfffe0001, 0xfffd0000]) assert.equal(exports.malloc(size), 0);
    const pointer = exports.malloc(1000);
    assert.ok(pointer);
    exports.free(pointer);
    exports.free(0);
    assert.equal(exports.malloc(1000), pointer);
  });

  test(`${flavour}: XXH64, as xxHash has it`, () => {
    const exports = start(flavour);
    const bytes = Uint8Array.from({ length: 5000 }, (_, i) => (i * 31 + 7) & 255);
    const state = exports.malloc(8);
    const at = exports.malloc(bytes.length);
    const hash = (seed, length) => {
      new BigUint64Array(exports.memory.buffer, state, 1)[0] = seed;
      new Uint8Array(exports.memory.buffer, at, length).set(bytes.subarray(0, length));
      exports.hc_wasm_xxh64(state, at, length);
      return new BigUint64Array(exports.memory.buffer, state, 1)[0].toString(16).padStart(16, '0');
    };
    // Of xxHash, through python-xxhash 4.1.
    const expected = {
      0: ['ef46db3751d8e999', 'c4349fc93c010000'],
      3: ['56e6957632a487f9', '5acb303e78133c22'],
      4: ['c60d15b1e3ff8f04', '7d51d5e2461732b3'],
      12: ['8fe8ab1c1fd0666e', 'eaa6d4d803d21fd7'],
      31: ['4a74f3a1a39ad4a1', '8137041f5af88413'],
      32: ['8d57d6a4671cc43d', '184ebcf3745cd46c'],
      39: ['1789542489e59cc4', '5661126b7efaf137'],
      64: ['7bbabbc45729d17e', 'f7f22435fe1ab128'],
      5000: ['aa5b264f05aca4d4', '67b59bea6344885b'],
    };
    for (const [length, [plain, seeded]] of Object.entries(expected)) {
      assert.equal(hash(0n, Number(length)), plain, `${length} bytes`);
      assert.equal(hash(0x9e3779b97f4a7c15n, Number(length)), seeded, `${length} bytes, seeded`);
    }
  });
}

test('SHA-2 in pieces, as node:crypto has it', () => {
  const { exports } = new WebAssembly.Instance(
    new WebAssembly.Module(readFileSync(new URL('../../dist/halfclip-files.wasm', import.meta.url))),
  );
  const random = generator(3);
  const bytes = randomBytes(5000);
  const at = exports.malloc(bytes.length);
  const out = exports.malloc(64);
  for (const bits of [256, 384, 512]) {
    for (const length of [0, 1, 55, 56, 63, 64, 65, 111, 112, 119, 120, 127, 128, 129, 1000, 5000]) {
      const hash = exports.hc_wasm_sha2_new(bits);
      for (let done = 0; done < length;) {
        const piece = bytes.subarray(done, Math.min(length, done + 1 + random(300)));
        new Uint8Array(exports.memory.buffer, at, piece.length).set(piece);
        exports.hc_wasm_sha2_update(hash, at, piece.length);
        done += piece.length;
      }
      exports.hc_wasm_sha2_finish(hash, out);
      const found = Buffer.from(new Uint8Array(exports.memory.buffer, out, bits / 8)).toString('hex');
      assert.equal(
        found,
        createHash(`sha${bits}`).update(bytes.subarray(0, length)).digest('hex'),
        `${bits} bits of ${length} bytes`,
      );
    }
  }
});
