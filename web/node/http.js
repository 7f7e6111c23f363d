// Node.js's http, once it is needed: `import` looks at all that it exports, for which Node.js loads the whole of its
// fetch(), and every program that imports this package would wait for that.

import { createRequire } from 'node:module';
import path from 'node:path';

/** @returns {typeof import('node:http')} */
export const getHttp = () => createRequire(path.join(process.cwd(), 'index.js'))('node:http');
