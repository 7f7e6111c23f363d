// The package inside other test runners, as `npm pack` makes it: each in Node.js's own environment and in that of
// jsdom.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { cpSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { ROOT, install, pack, unpack } from '../install.mjs';

const HERE = fileURLToPath(new URL('.', import.meta.url));
const PROJECT = path.join(ROOT, 'build/runners');
const PACKAGE = path.join(PROJECT, 'node_modules/halfclip');

before(() => {
  install(HERE, PROJECT);
  unpack(pack(PROJECT), PACKAGE);
  for (const name of ['checks.cjs', 'vitest.test.js', 'jest.test.cjs', 'jest-module.test.mjs'])
    cpSync(path.join(HERE, name), path.join(PROJECT, name));
  writeFileSync(
    path.join(PROJECT, 'jest.config.json'),
    JSON.stringify({
      testMatch: ['**/jest*.test.?(c|m)js'],
      moduleFileExtensions: ['js', 'cjs', 'mjs'],
      transform: {},
    }),
  );
});

/** Runs a program of the project; fails with what it printed if it fails, or does not end by itself. */
function run(program, args, env) {
  return new Promise((resolve) => {
    const child = spawn(
      process.execPath,
      [...(env.NODE_FLAGS ?? []), path.join(PROJECT, 'node_modules', program), ...args],
      {
        cwd: PROJECT,
        env: {
          ...process.env,
          CI: '1',
          NO_COLOR: '1',
          MODELS: path.join(PACKAGE, 'dist/models'),
          NODE_TEST_CONTEXT: undefined,
        },
      },
    );
    let printed = '';
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text) => (printed += text));
    child.on('close', (status) => resolve({ status, printed }));
  });
}

for (const environment of ['node', 'jsdom']) {
  const runners = {
    vitest: ['vitest/vitest.mjs', ['run', `--environment=${environment}`, 'vitest.test.js'], {}],
    'jest with require()': ['jest/bin/jest.js', [`--env=${environment}`, 'jest.test.cjs'], {}],
    'jest with import': [
      'jest/bin/jest.js',
      [`--env=${environment}`, 'jest-module.test.mjs'],
      { NODE_FLAGS: ['--experimental-vm-modules'] },
    ],
  };
  for (const [name, [program, args, env]] of Object.entries(runners)) {
    test(`${name}, environment ${environment}`, async () => {
      const { status, printed } = await run(program, args, env);
      assert.equal(status, 0, printed);
      assert.match(printed, /\b13 passed\b/);
      assert.doesNotMatch(printed, /did not exit|open handle|A worker process has failed/);
    });
  }
}
