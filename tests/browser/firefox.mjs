// The Firefox that tests drive, over WebDriver BiDi: FIREFOX in the environment, or the system's. Run as a program it
// says whether there is one.

import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { firefox } from 'playwright-core';

/** A snap has no access to the profiles of tests: what stands for it in /usr/bin is a script that names it. */
const isSnap = (file) => readFileSync(file).includes('/snap/bin/firefox');

const executablePath =
  process.env.FIREFOX ?? ['/usr/bin/firefox-esr', '/usr/bin/firefox'].find((file) => existsSync(file) && !isSnap(file));

/** A browser with a profile of its own. Where tests have put the caches away (XDG_CACHE_HOME) it would not start. */
export function launchFirefox() {
  const { XDG_CACHE_HOME: _, ...env } = process.env;
  return firefox.launch({ executablePath, channel: 'moz-firefox', timeout: 60_000, env });
}

if (process.argv[1] === fileURLToPath(import.meta.url) && !executablePath) {
  console.error(
    'There is no Firefox that tests can drive. Debian has one: apt-get install firefox-esr. Elsewhere unpack https://www.mozilla.org/firefox and let FIREFOX name its program (a snap will not do).',
  );
  process.exit(1);
}
