// The module `halfclip/index` for Node.js, Deno and Bun.

import { HalfclipError } from '../base/errors.js';
import { useHost } from '../base/platform.js';
import { ThreadedKernels } from '../search/threaded-kernels.js';
import { VectorIndex } from '../search/vector-index.js';
import { openFile } from './file-source.js';
import { countCores, workers } from './host.js';
import { fetchOver } from './http-fetch.js';
import { changeFile, keepFile, replaceFile, wholeName } from './replace-file.js';

useHost({ ThreadedKernels, changeFile, countCores, fetchOver, keepFile, openFile, replaceFile, wholeName, workers });

export { HalfclipError, VectorIndex };
