// Where files.mjs runs its contenders: halfclip and @huggingface/transformers, each in a process of Node.js, or each in a
// page of a Chromium of its own, with the files as Blobs. Of each it gives
//   run(files, options)   all files once: { ms, cpu, vectors }, in Node.js with what halfclip's threads did
//   alone(files)          of halfclip: the processor's ms for one of them, one after the other on one thread
// and of both what they run in, and how to end them.

import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

import { serve } from '../../web/cli/server.js';
import { inChromium, inNode } from './places.mjs';

const BENCH = fileURLToPath(new URL('.', import.meta.url));
const DIST = fileURLToPath(new URL('../../dist/', import.meta.url));

/** @typedef {{ shard: string, folder: string, peer: string, threads: number }} Given shard: a file; folder: what the peer loads; peer: its package */

/** @param {Given} given */
async function startNodes({ shard, folder, peer, threads }) {
  const program = path.join(BENCH, 'files-contender.mjs');
  const [ours, theirs] = [await inNode(program), await inNode(program)];
  const url = (file) => pathToFileURL(file).href;
  await ours.call('load', { contender: 'halfclip', url: url(path.join(DIST, 'index.js')), shard, threads });
  await theirs.call('load', {
    contender: 'transformers',
    url: url(path.join(peer, 'dist/transformers.node.mjs')),
    folder,
    threads,
  });
  const contender = (place) => ({
    run: (files, options) => place.call('run', { files, options }),
    alone: (files) => place.call('alone', { files }),
  });
  return {
    name: `Node.js ${process.version}`,
    ours: contender(ours),
    theirs: contender(theirs),
    close: () => Promise.all([ours.close(), theirs.close()]),
  };
}

/** @param {Given} given */
async function startPages({ shard, folder, peer, threads }) {
  const server = await serve({
    root: {
      '/bench/': BENCH,
      '/dist/': DIST,
      '/shard/': path.dirname(shard),
      '/model/': folder,
      '/transformers/': path.join(peer, 'dist'),
      '/onnxruntime-web/': path.join(peer, '../../onnxruntime-web/dist'),
      '/pictures/': path.dirname(folder),
    },
  });
  const [ours, theirs] = [
    await inChromium(server.url, 'files-page.mjs'),
    await inChromium(server.url, 'files-page.mjs'),
  ];
  const contender = (place) => {
    const take = (files) => place.call('take', { files: files.map((file) => `/pictures/${path.basename(file)}`) });
    const timed = async (work) => {
      const before = await place.processorTime();
      const result = await work();
      return { ...result, cpu: (await place.processorTime()) - before };
    };
    return {
      async run(files, options) {
        await take(files);
        await place.call('warm', { options });
        return timed(() => place.call('run', { options }));
      },
      async alone(files) {
        await take(files);
        return (await timed(() => place.call('alone'))).cpu / files.length;
      },
    };
  };
  await ours.call('load', {
    contender: 'halfclip',
    url: '/dist/index.js',
    shard: `/shard/${path.basename(shard)}`,
    threads,
  });
  await theirs.call('load', {
    contender: 'transformers',
    url: '/transformers/transformers.min.js',
    folder: 'model',
    wasm: '/onnxruntime-web/',
    threads,
  });
  return {
    name: `Chromium ${ours.version}`,
    ours: contender(ours),
    theirs: contender(theirs),
    async close() {
      await Promise.all([ours.close(), theirs.close()]);
      await server.close();
    },
  };
}

export const PLACES = { node: startNodes, chromium: startPages };
