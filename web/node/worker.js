// A thread of Node.js: worker.js with the host of Node.js.

import { parentPort } from 'node:worker_threads';

import { useHost } from '../platform.js';
import { serve } from '../serve-worker.js';
import * as host from './host.js';

useHost(host);
serve({
  listen: (receive) => parentPort.on('message', receive),
  postMessage: (message, transfer) => parentPort.postMessage(message, transfer),
  close: () => parentPort.close(),
});
