// The command line as a program that is run in a folder.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

export const CLI = fileURLToPath(new URL('../../dist/cli.js', import.meta.url));

export const jsonLines = (text) =>
  text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));

/**
 * @param {string} folder
 * @returns {{ run: Function, works: Function, fails: Function }} run: what came of it; works: standard output of what
 *   must work; fails: expects a failure that is told in sentences and nothing on standard output
 */
export function programIn(folder) {
  function run(args, input = '', env = {}) {
    return new Promise((resolve) => {
      const child = spawn(process.execPath, [CLI, ...args], { cwd: folder, env: { ...process.env, ...env } });
      let stdout = '';
      let stderr = '';
      child.stdout.on('data', (data) => (stdout += data));
      child.stderr.on('data', (data) => (stderr += data));
      child.on('close', (status) => resolve({ status, stdout, stderr }));
      child.stdin.on('error', () => {});
      child.stdin.end(input);
    });
  }

  async function works(args, input) {
    const { status, stdout, stderr } = await run(args, input);
    assert.equal(status, 0, stderr);
    assert.equal(stderr, '');
    return stdout;
  }

  async function fails(args, status, pattern, input) {
    const result = await run(args, input);
    assert.equal(result.status, status, result.stderr);
    assert.match(result.stderr, pattern);
    assert.doesNotMatch(result.stderr, /^ +at /m);
    assert.equal(result.stdout, '');
  }

  return { run, works, fails };
}
