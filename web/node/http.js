// Node.js's http and https, once they are needed: `import` looks at all that it exports, for which Node.js loads the whole of its
// fetch(), and every program that imports this package would wait for that.

import { createRequire } from 'node:module';
import path from 'node:path';

/**
 * @param {'http' | 'https'} [protocol]
 * @returns {typeof import('node:http')}
 */
export const getHttp = (protocol = 'http') => createRequire(path.join(process.cwd(), 'index.js'))(`node:${protocol}`);
