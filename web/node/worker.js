// A thread of Node.js: page/worker.js with the host of Node.js.

import { parentPort } from 'node:worker_threads';

import { useHost } from '../base/platform.js';
import { serve } from '../worker/serve-encoder.js';
import * as host from './host.js';

useHost(host);
serve({
  listen: (receive) => parentPort.on('message', receive),
  postMessage: (message, transfer) => parentPort.postMessage(message, transfer),
  close: () => parentPort.close(),
});
