// The module `halfclip` for pages, which also runs where Node.js imports this very file.

import { isNode, useHost } from '../platform.js';
import * as host from './host.js';

useHost(isNode ? () => process.getBuiltinModule('module').createRequire(import.meta.url)('./host.cjs') : host);

export * from '../index.js';
