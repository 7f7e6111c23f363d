// halfclip serve: the demo page that the package holds, with pictures of one's own.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { printable } from '../base/errors.js';
import { OptionError, UsageError } from './options.js';
import { isFolder, picturesBelow } from './pictures.js';
import { serve } from './server.js';
import { complain, print } from './terminal.js';

const PACKAGE = fileURLToPath(new URL('.', import.meta.url)); // dist/

export const summary = 'the page that finds pictures by words, for browsers on this machine';

export const help = `halfclip serve [folder]: serves the page that finds pictures by words, for browsers on this machine

  With a folder, the pictures below it take the place of the page's own. They stay on this machine: the page asks no other server for anything.

  --port N                               the port to begin looking at for a free one (default: 8080)
  --connect ORIGIN                       a server that the page may load models from, as https://example.org, besides Hugging Face's
                                         hub; may be given several times
`;

export const options = { port: { type: 'string' }, connect: { type: 'string', multiple: true } };

/** Whom the page asks where a model is chosen by its name, and nobody else. */
const HUB = ['https://huggingface.co', 'https://*.huggingface.co', 'https://*.hf.co'];

export async function run({ port = '8080', connect = [] }, [folder, ...others], signal) {
  if (others.length) throw new UsageError(`serve takes one folder, got ${others[0]} too`);
  if (!/^\d{1,5}$/.test(port) || Number(port) > 65535)
    throw new UsageError(`--port is ${port}, expected a number up to 65535`);
  for (const origin of connect) {
    if (!/^https?:\/\/[^\s/;,'"*]+$/.test(origin))
      throw new UsageError(`--connect is ${origin}, expected an origin such as https://example.org`);
  }
  if (folder !== undefined && !(await isFolder(folder))) throw new UsageError(`${folder} is no folder`);
  const root = { '/': PACKAGE };
  const list = folder === undefined ? null : await listPictures(folder);
  if (list) {
    root['/demo/pictures/'] = folder;
    root['/demo/pictures/index.txt'] = list.file;
    await print(`${list.count} picture${list.count === 1 ? '' : 's'} in ${folder}`);
  }
  try {
    const server = await listen({ root, port: Number(port), home: '/demo/', connect: [...HUB, ...connect] });
    await print(`halfclip is at ${server.url}/demo/ (Ctrl-C ends it)`);
    await new Promise((resolve) => signal.addEventListener('abort', resolve));
    await server.close();
  } finally {
    list?.remove();
  }
}

async function listen(options) {
  try {
    return await serve(options);
  } catch (error) {
    throw new OptionError('port', options.port, error.message);
  }
}

/**
 * A file with the names of a folder's pictures as the page reads them, one a line; those that the server does not give
 * away are left out.
 */
async function listPictures(folder) {
  const names = [];
  for await (const { input, source, error } of picturesBelow(folder)) {
    const name = path.relative(folder, input).split(path.sep).join('/');
    if (error) await complain(printable(`${input}: ${error.message}`));
    else if (typeof source === 'string' && !/(^|\/)\.|[\0-\x1f\\]/.test(name)) names.push(name);
  }
  const place = mkdtempSync(path.join(tmpdir(), 'halfclip-'));
  const file = path.join(place, 'index.txt');
  writeFileSync(file, names.map((name) => `${name}\n`).join(''));
  return { file, count: names.length, remove: () => rmSync(place, { recursive: true, force: true }) };
}
