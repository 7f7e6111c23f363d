// The Chromium that tests and benchmarks drive: CHROMIUM in the environment, or the system's.

import { existsSync } from 'node:fs';
import { chromium } from 'playwright-core';

const executablePath =
  process.env.CHROMIUM ?? ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync);
const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** A browser with a profile of its own; `flags` besides those that all have. */
export const launch = (...flags) => chromium.launch({ executablePath, args: [...FLAGS, ...flags] });

/** A context that keeps its profile in `folder`. */
export const launchProfile = (folder, ...flags) =>
  chromium.launchPersistentContext(folder, { executablePath, args: [...FLAGS, ...flags] });
