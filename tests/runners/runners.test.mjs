// The package inside other test runners, as `npm pack` makes it: each in Node.js's own environment and in that of jsdom.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const HERE = fileURLToPath(new URL('.', import.meta.url));
const ROOT = path.join(HERE, '../..');
const PROJECT = path.join(ROOT, 'build/runners');
const PACKAGE = path.join(PROJECT, 'node_modules/halfclip');

before(() => {
  mkdirSync(PROJECT, { recursive: true });
  const lock = readFileSync(path.join(HERE, 'package-lock.json'), 'utf8');
  const stamp = path.join(PROJECT, 'installed.json');
  if (!existsSync(stamp) || readFileSync(stamp, 'utf8') !== lock) {
    for (const name of ['package.json', 'package-lock.json']) cpSync(path.join(HERE, name), path.join(PROJECT, name));
    execFileSync('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], { cwd: PROJECT });
    writeFileSync(stamp, lock);
  }
  const packed = execFileSync('npm', ['pack', '--json', '--ignore-scripts', '--loglevel=error', '--pack-destination', PROJECT], { cwd: ROOT, encoding: 'utf8' });
  const [{ filename }] = JSON.parse(packed.slice(packed.indexOf('[')));
  rmSync(PACKAGE, { recursive: true, force: true });
  mkdirSync(PACKAGE, { recursive: true });
  execFileSync('tar', ['-xf', filename, '-C', PACKAGE, '--strip-components=1'], { cwd: PROJECT });
  for (const name of ['checks.cjs', 'vitest.test.js', 'jest.test.cjs', 'jest-module.test.mjs']) cpSync(path.join(HERE, name), path.join(PROJECT, name));
  writeFileSync(path.join(PROJECT, 'jest.config.json'), JSON.stringify({ testMatch: ['**/jest*.test.?(c|m)js'], moduleFileExtensions: ['js', 'cjs', 'mjs'], transform: {} }));
});

/** Runs a program of the project; fails with what it printed if it fails, or does not end by itself. */
function run(program, args, env) {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [...(env.NODE_FLAGS ?? []), path.join(PROJECT, 'node_modules', program), ...args], {
      cwd: PROJECT, env: { ...process.env, CI: '1', NO_COLOR: '1', MODELS: path.join(PACKAGE, 'dist/models'), NODE_TEST_CONTEXT: undefined },
    });
    let printed = '';
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => (printed += text));
    child.on('close', (status) => resolve({ status, printed }));
  });
}

for (const environment of ['node', 'jsdom']) {
  const runners = {
    vitest: ['vitest/vitest.mjs', ['run', `--environment=${environment}`, 'vitest.test.js'], {}],
    'jest with require()': ['jest/bin/jest.js', [`--env=${environment}`, 'jest.test.cjs'], {}],
    'jest with import': ['jest/bin/jest.js', [`--env=${environment}`, 'jest-module.test.mjs'], { NODE_FLAGS: ['--experimental-vm-modules'] }],
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
