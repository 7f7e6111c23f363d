// The module `halfclip/index` for pages and their workers. Where Node.js imports this very file, as test runners do that
// imitate a page, it is the module for Node.js.

import { HalfclipError } from '../base/errors.js';
import { isNode, useHost } from '../base/platform.js';
import { attempt } from '../base/realm.js';
import { VectorIndex } from '../search/vector-index.js';
import * as host from './origin-file.js';

useHost(host);

const forNode =
  isNode && attempt(() => process.getBuiltinModule('module').createRequire(import.meta.url)('./vector-index-node.cjs'));

const { HalfclipError: Failure, VectorIndex: Index } = forNode || { HalfclipError, VectorIndex };
export { Failure as HalfclipError, Index as VectorIndex };
