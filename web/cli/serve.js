// halfclip serve: the demo page that the package holds, with pictures of one's own.

import { fileURLToPath } from 'node:url';

import { LOAD_HELP, LOAD_OPTIONS, OptionError, UsageError, isWhole, numberOf } from './options.js';
import { TEXT_WEIGHTS } from './picture-index.js';
import { isFolder } from './pictures.js';
import { ServedFolder } from './served-folder.js';
import { serve } from './server.js';
import { print } from './terminal.js';

const PACKAGE = fileURLToPath(new URL('.', import.meta.url)); // dist/

export const summary = 'the page that finds pictures by words, for browsers on this machine';

export const help = `halfclip serve [folder]: serves the page that finds pictures by words, for browsers on this machine

  With a folder, the pictures below it are read here, by Node.js, and searched in the page. They stay on this machine: the page asks no
  other server for anything but models that are chosen in it.

  --port N                               the port to begin looking at for a free one (default: 8080)
  --connect ORIGIN                       a server that the page may load models from, as https://example.org, besides Hugging Face's
                                         hub; may be given several times
  --index FILE                           keeps what is read of the folder, so that only what is new is read the next time; an index as of
                                         halfclip index
  --text-weights FILE                    the text tower, where --weights is a shard of the image tower
${LOAD_HELP}`;

export const options = {
  ...LOAD_OPTIONS,
  ...TEXT_WEIGHTS,
  port: { type: 'string' },
  connect: { type: 'string', multiple: true },
  index: { type: 'string' },
};

/** Whom the page asks where a model is chosen by its name, and nobody else. */
const HUB = ['https://huggingface.co', 'https://*.huggingface.co', 'https://*.hf.co'];

export async function run(values, [folder, ...others], signal) {
  const { connect = [] } = values;
  if (others.length) throw new UsageError(`serve takes one folder, got ${others[0]} too`);
  const port = numberOf('port', values.port, 'a number up to 65535', isWhole(0, 65535)) ?? 8080;
  for (const origin of connect) {
    if (!/^https?:\/\/[^\s/;,'"*]+$/.test(origin))
      throw new UsageError(`--connect is ${origin}, expected an origin such as https://example.org`);
  }
  if (folder !== undefined && !(await isFolder(folder))) throw new UsageError(`${folder} is no folder`);
  const root = { '/': PACKAGE };
  const served = folder === undefined ? null : await ServedFolder.open(folder, values);
  if (served) {
    Object.assign(root, served.roots);
    await print(`${served.count} picture${served.count === 1 ? '' : 's'} in ${folder}`);
  }
  let server;
  try {
    server = await listen({ root, port, home: '/demo/', connect: [...HUB, ...connect] });
    await print(`halfclip is at ${server.url}/demo/ (Ctrl-C ends it)`);
    await served?.read(signal);
    if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve));
  } finally {
    await server?.close();
    await served?.close();
  }
}

async function listen(options) {
  try {
    return await serve(options);
  } catch (error) {
    throw new OptionError('port', options.port, error.message);
  }
}
