// What tests install from the registry, and the package as `npm pack` makes it.

import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('..', import.meta.url));
const QUIET = ['--no-audit', '--no-fund', '--loglevel=error'];

/**
 * Installs what the package.json in `manifests` names, unless just that is there.
 * @param {string} manifests a folder with package.json and package-lock.json
 * @param {string} place
 */
export function install(manifests, place) {
  mkdirSync(place, { recursive: true });
  const lock = readFileSync(path.join(manifests, 'package-lock.json'), 'utf8');
  const stamp = path.join(place, 'installed.json');
  try {
    if (readFileSync(stamp, 'utf8') === lock) return;
  } catch {
    // Nothing was installed yet.
  }
  for (const name of ['package.json', 'package-lock.json'])
    copyFileSync(path.join(manifests, name), path.join(place, name));
  execFileSync('npm', ['ci', ...QUIET], { cwd: place, stdio: ['ignore', 'ignore', 'inherit'] });
  writeFileSync(stamp, lock);
}

/** Packs dist/ into `folder`, and gives the tarball's path. */
export function pack(folder) {
  const printed = execFileSync(
    'npm',
    ['pack', '--json', '--ignore-scripts', '--loglevel=error', '--pack-destination', folder],
    { cwd: ROOT, encoding: 'utf8' },
  );
  const [{ filename }] = JSON.parse(printed.slice(printed.indexOf('[')));
  return path.join(folder, filename);
}

/** Puts what is in a tarball of npm's into `place`, as npm does. */
export function unpack(tarball, place) {
  rmSync(place, { recursive: true, force: true });
  mkdirSync(place, { recursive: true });
  execFileSync('tar', ['-xf', tarball, '--strip-components=1', '-C', place]);
}
