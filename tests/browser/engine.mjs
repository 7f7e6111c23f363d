// The browser of those tests that are run in several: Chromium, or with BROWSER=firefox Firefox (make test-firefox).

import { launch as launchChromium } from './chromium.mjs';
import { launchFirefox } from './firefox.mjs';

export const isFirefox = process.env.BROWSER === 'firefox';

/** A browser with a profile of its own; `flags` are Chromium's. */
export const launch = (...flags) => (isFirefox ? launchFirefox() : launchChromium(...flags));
