// The package's types, with the oldest TypeScript that they are for, the one that most projects have and the newest;
// libraries are checked, too.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const COMPILERS = ['typescript-oldest', 'typescript', 'typescript-newest'];
const run = promisify(execFile);
const require = createRequire(import.meta.url);

let folder;

before(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'halfclip-'));
  const installed = path.join(folder, 'node_modules/halfclip');
  mkdirSync(path.join(installed, 'dist'), { recursive: true });
  cpSync(path.join(ROOT, 'package.json'), path.join(installed, 'package.json'));
  for (const name of [
    'index.d.ts',
    'index.d.cts',
    'vector-index.d.ts',
    'vector-index.d.cts',
    'exif.d.ts',
    'exif.d.cts',
    'langchain.d.ts',
    'langchain.d.cts',
  ])
    cpSync(path.join(ROOT, 'dist', name), path.join(installed, 'dist', name));
  for (const name of ['@types', 'undici-types', '@langchain'])
    symlinkSync(path.join(ROOT, 'node_modules', name), path.join(folder, 'node_modules', name));
  cpSync(new URL('types', import.meta.url), folder, { recursive: true });
  writeFileSync(path.join(folder, 'package.json'), '{ "type": "module", "private": true }');
});

after(() => rmSync(folder, { recursive: true }));

const NODE16 = { module: 'node16' };
const NODENEXT = { module: 'nodenext' };
const BUNDLER = { module: 'esnext', moduleResolution: 'bundler' };
const WITHOUT_DOM = { lib: ['es2022'] };

const PROJECTS = {
  'a page': { files: ['page.ts', 'index-page.ts', 'exif.ts', 'exif-page.ts'], of: [NODENEXT, BUNDLER] },
  'a page, with using': {
    files: ['using.ts'],
    of: [BUNDLER],
    options: { lib: ['es2022', 'dom', 'esnext.disposable'] },
    compilers: COMPILERS.slice(1),
  },
  'Node.js without the DOM library': {
    files: ['server.ts', 'index-server.ts', 'exif.ts', 'required.cts', 'index-required.cts'],
    of: [NODE16, NODENEXT],
    options: WITHOUT_DOM,
  },
  'the same for a bundler': { files: ['server.ts', 'index-server.ts'], of: [BUNDLER], options: WITHOUT_DOM },
  'Node.js with its types, without the DOM library': {
    files: ['server.ts', 'index-server.ts', 'server-with-node.ts', 'required.cts', 'index-required.cts'],
    of: [NODE16, NODENEXT],
    options: { ...WITHOUT_DOM, types: ['node'] },
  },
  'Node.js with its types and the DOM library': {
    files: ['server.ts', 'index-server.ts', 'server-with-node.ts', 'page.ts', 'index-page.ts', 'required.cts'],
    of: [NODENEXT],
    options: { types: ['node'] },
  },
  LangChain: {
    files: ['langchain.ts', 'langchain-required.cts'],
    of: [NODENEXT],
    options: { types: ['node'] },
    compilers: ['typescript-oldest', 'typescript-newest'], // which check LangChain's own types, too
  },
};

for (const [name, { files, of, options, compilers = COMPILERS }] of Object.entries(PROJECTS)) {
  for (const compiler of compilers) {
    test(`${name}, ${compiler} ${require(`${compiler}/package.json`).version}`, async () => {
      for (const resolution of of) {
        const compilerOptions = {
          noEmit: true,
          strict: true,
          exactOptionalPropertyTypes: true,
          skipLibCheck: false,
          target: 'es2022',
          types: [],
          ...options,
          ...resolution,
        };
        const config = path.join(folder, 'tsconfig.json');
        writeFileSync(config, JSON.stringify({ compilerOptions, files }));
        const tsc = path.join(path.dirname(require.resolve(`${compiler}/package.json`)), 'bin/tsc');
        await run(process.execPath, [tsc, '-p', config]).catch(({ stdout }) =>
          assert.fail(`${JSON.stringify(resolution)}:\n${stdout}`),
        );
      }
    });
  }
}
