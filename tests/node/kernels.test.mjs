// The kernels' unit tests (tests/unit/test_kernels.c), compiled to WebAssembly: each flavour must match the scalar
// references, and compute the same bits as the native build, whose hashes are in tests/unit/kernel_hashes.h.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import test from 'node:test';

for (const flavour of ['simd128', 'relaxed']) {
  test(`kernels of ${flavour}`, async (t) => {
    const bytes = await readFile(new URL(`../../build/kernels-${flavour}.wasm`, import.meta.url));
    if (!WebAssembly.validate(bytes)) {
      assert.ok(
        flavour === 'relaxed' && Number(process.versions.node.split('.')[0]) < 22,
        'this engine should know the module',
      );
      t.skip('this engine has no relaxed SIMD');
      return;
    }
    const { instance } = await WebAssembly.instantiate(bytes);
    const { memory, run, done, failed_line: failedLine, failed_file: failedFile } = instance.exports;
    const failed = run();
    const file = () => Buffer.from(memory.buffer, failedFile()).toString().split('\0', 1)[0];
    assert.equal(failed, 0, failed && `${failed} of ${done()} checks, the first in line ${failedLine()} of ${file()}`);
    assert.ok(done() > 5000);
  });
}
