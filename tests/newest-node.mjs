// The newest Node.js, from the registry, in build/: it runs relaxed SIMD, which Node.js 20 does not. `node
// tests/newest-node.mjs` prints where it is.

import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const NEWEST = '26.10.0';

/** The path of its binary, installed if it is missing. */
export function newestNode() {
  const place = fileURLToPath(new URL('../build/node-newest/', import.meta.url));
  const name = `node-${process.platform}-${process.arch}`;
  const node = path.join(place, 'node_modules', name, 'bin/node');
  if (!existsSync(node)) {
    mkdirSync(place, { recursive: true });
    writeFileSync(path.join(place, 'package.json'), '{ "private": true }');
    execFileSync('npm', ['install', `${name}@${NEWEST}`, '--no-audit', '--no-fund', '--loglevel=error'], {
      cwd: place,
      stdio: ['ignore', 'ignore', 'inherit'],
    });
  }
  return node;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) console.log(newestNode());
