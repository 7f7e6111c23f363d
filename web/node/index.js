// The module `halfclip` for Node.js, Deno and Bun.

import { useHost } from '../base/platform.js';
import * as host from './host.js';

useHost(host);

export * from '../index.js';
