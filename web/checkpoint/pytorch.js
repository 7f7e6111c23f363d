// The directory of a PyTorch file, which C reads.

import { decodeText } from '../base/bytes.js';
import { tooLarge } from '../network/limits.js';
import { BlobSource } from '../sources/in-memory.js';
import { readBytes } from '../sources/source.js';
import { createReader } from '../wasm/instance.js';
import { exhausted } from '../wasm/memory.js';

/**
 * @param {Record<string, string[]> | undefined} places from findAssets
 * @param {object} source see sources/source.js
 * @param {{ bytes: number, limit: number }} held what is kept in memory of this checkpoint's files
 * @returns {Promise<object>} as of readDirectory()
 */
export async function readPyTorch(places, source, held) {
  const file = await withRandomAccess(source, held);
  const wasm = await createReader('halfclip-files.wasm', places);
  const { exports } = wasm;
  const pieces = [];
  const torch = exports.hc_wasm_torch_new(file.size);
  if (!torch) throw exhausted('a reader of PyTorch files');
  const out = wasm.alloc(16, 'a range');
  try {
    while (exports.hc_wasm_torch_want(torch, out)) {
      const [begin, end] = wasm.doubles(out, 2);
      const bytes = await readBytes(file, begin, end);
      pieces.push({ begin, bytes });
      wasm.with(bytes, 'the directory', (pointer, length) => exports.hc_wasm_torch_give(torch, begin, pointer, length));
    }
    const status = exports.hc_wasm_torch_status(torch);
    if (status) wasm.check(status, `${file.name}: ${wasm.string(exports.hc_wasm_torch_message(torch))}`);
    const text = exports.hc_wasm_torch_header(torch, out);
    return {
      json: decodeText(wasm.bytes(text, wasm.ints(out, 1)[0] >>> 0).slice()),
      source: file,
      files: [file.name],
      pieces,
    };
  } finally {
    exports.hc_wasm_torch_free(torch);
    wasm.free(out);
  }
}

/** The same file, all of it kept where a server sends no ranges: what says where tensors are stands at the end. */
async function withRandomAccess(source, held) {
  if (!source.forward) await source.measure?.();
  if (!source.forward && source.size !== undefined) return source;
  const check = (more) => {
    if (held.bytes + more > held.limit) throw tooLarge('memory/exhausted', source.name, 'whole', held.limit);
  };
  check(source.size ?? 0);
  const parts = [];
  for await (const chunk of source.read(0, Infinity)) {
    check(chunk.length);
    held.bytes += chunk.length;
    parts.push(chunk.slice());
  }
  return Object.assign(new BlobSource(new Blob(parts), source.name), { close: () => source.close() });
}
