// The module `halfclip` for pages. Where Node.js imports this very file, as test runners do that imitate a page, it is
// the module for Node.js.

import { isNode, useHost } from '../base/platform.js';
import { attempt } from '../base/realm.js';
// By their names: `* as own` would be an object that is made at run time, of names that are written twice.
import {
  HalfclipError,
  cosineSimilarity as cosine,
  keptTowers as kept,
  loadImageEncoder as loadImage,
  loadTextEncoder as loadText,
  loadVideoEncoder as loadVideo,
  removeKeptTowers as removeKept,
} from '../index.js';
import * as host from './host.js';

useHost(isNode ? withoutHost : host);

function withoutHost() {
  throw new HalfclipError(
    'http/network',
    `${import.meta.url}: node.cjs, what Node.js needs, is not beside this file: leave the package out of a bundle for Node.js`,
  );
}

const forNode =
  isNode && attempt(() => process.getBuiltinModule('module').createRequire(import.meta.url)('./node.cjs'));

const {
  HalfclipError: Failure,
  cosineSimilarity,
  keptTowers,
  loadImageEncoder,
  loadTextEncoder,
  loadVideoEncoder,
  removeKeptTowers,
} = forNode || {
  HalfclipError,
  cosineSimilarity: cosine,
  keptTowers: kept,
  loadImageEncoder: loadImage,
  loadTextEncoder: loadText,
  loadVideoEncoder: loadVideo,
  removeKeptTowers: removeKept,
};
export {
  Failure as HalfclipError,
  cosineSimilarity,
  keptTowers,
  loadImageEncoder,
  loadTextEncoder,
  loadVideoEncoder,
  removeKeptTowers,
};
