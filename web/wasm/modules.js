// The WebAssembly modules, each compiled once.

import { HalfclipError, messageOf } from '../base/errors.js';
import { isNode } from '../base/platform.js';
import { hasTag } from '../base/realm.js';
import { fetchAsset, firstPlace, readBody, readPlace } from '../network/assets.js';

const EMPTY_MODULE = Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0);

const compiled = new Map();

async function compileBytes(bytes, place) {
  try {
    return await WebAssembly.compile(bytes);
  } catch (error) {
    throw await explain(error, bytes, place);
  }
}

/** Why `bytes` did not compile. */
async function explain(cause, bytes, place) {
  const unsupported = (message) => new HalfclipError('model/unsupported', message, { cause });
  try {
    await WebAssembly.compile(EMPTY_MODULE);
  } catch {
    return unsupported(
      `WebAssembly cannot be compiled here (${messageOf(cause)}): a page's Content-Security-Policy needs 'wasm-unsafe-eval' in its script-src; ` +
        'where nothing may be compiled at run time, as in Cloudflare Workers, the option wasm takes a WebAssembly.Module',
    );
  }
  if (EMPTY_MODULE.every((byte, i) => bytes[i] === byte))
    return unsupported(`${place} does not compile (${messageOf(cause)}): it is damaged, or this engine lacks SIMD`);
  const kind = /^\s*</.test(String.fromCharCode(...bytes.subarray(0, 20))) ? 'an HTML page' : 'another file';
  return new HalfclipError('http/status', `${place}: ${kind} came, expected a WebAssembly module`, {
    status: 200,
    cause,
  });
}

async function compileAt(place) {
  if (isNode && place.startsWith('file:')) return compileBytes(await readPlace(place), place);
  const response = await fetchAsset(place);
  // Only what a server sends with the right media type can be compiled while it streams.
  if (response.headers.get('content-type') !== 'application/wasm' || !WebAssembly.compileStreaming)
    return compileBytes(await readBody(response, place), place);
  const module = await WebAssembly.compileStreaming(response).catch(() => null);
  return module ?? compileBytes(await readPlace(place), place); // the bytes tell what is wrong
}

/** The module at one of `places`, compiled once. */
export function compileOnce(name, places) {
  const key = places.join(' ');
  let module = compiled.get(key);
  if (!module) {
    module = firstPlace(name, places, compileAt);
    compiled.set(key, module);
    module.catch(() => compiled.delete(key));
  }
  return module;
}

/** Whether a module is one for several threads. */
export const needsThreads = (module) => WebAssembly.Module.imports(module).some(({ kind }) => kind === 'memory');

/** The module that the option `wasm` stands for. */
export async function compileGiven(wasm) {
  if (hasTag(wasm, 'WebAssembly.Module')) return wasm;
  return typeof wasm === 'string' ? compileOnce('option wasm', [wasm]) : compileBytes(wasm, 'option wasm');
}
