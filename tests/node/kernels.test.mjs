// The kernels' unit tests (tests/unit/test_kernels.c), compiled to WebAssembly: each flavour must match the scalar references, and compute the same bits as the
// native build, whose hashes are in tests/unit/kernel_hashes.h.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import test from 'node:test';

for (const flavour of ['simd128', 'relaxed']) {
  test(`kernels of ${flavour}`, async (t) => {
    const bytes = await readFile(new URL(`../../build/kernels-${flavour}.wasm`, import.meta.url));
    if (!WebAssembly.validate(bytes)) {
      assert.ok(flavour === 'relaxed' && Number(process.versions.node.split('.')[0]) < 22, 'this engine should know the module');
      t.skip('this engine has no relaxed SIMD');
      return;
    }
    const { instance } = await WebAssembly.instantiate(bytes);
    const { run, done, failed_line: failedLine } = instance.exports;
    const failed = run();
    assert.equal(failed, 0, `${failed} of ${done()} checks, the first in line ${failedLine()} of tests/unit/test_kernels.c`);
    assert.ok(done() > 5000);
  });
}
