// The option `integrity`: Subresource Integrity of a whole file. Browsers hash only what is all in memory.

import { HalfclipError, describe } from '../base/errors.js';
import { createReader } from '../wasm/instance.js';
import { exhausted } from '../wasm/memory.js';

const DIGESTS = { sha256: 256, sha384: 384, sha512: 512 };
const PIECE = 1 << 19; // bytes that are hashed at once

/**
 * The strongest digest of an SRI string, computed as bytes arrive.
 * @param {string} integrity
 * @param {Record<string, string[]>} [places] from findAssets
 */
export async function startDigest(integrity, places) {
  const entries = String(integrity)
    .trim()
    .split(/\s+/)
    .map((entry) => /^(sha256|sha384|sha512)-([A-Za-z0-9+/_-]+=*)(\?.*)?$/.exec(entry));
  const known = entries.filter(Boolean).sort((a, b) => DIGESTS[b[1]] - DIGESTS[a[1]]);
  if (!known.length)
    throw new HalfclipError(
      'input/type',
      `option integrity is ${describe(integrity)}, expected sha256-, sha384- or sha512- and base64`,
    );
  const algorithm = known[0][1];
  const expected = known
    .filter((entry) => entry[1] === algorithm)
    .map((entry) => entry[2].replaceAll('-', '+').replaceAll('_', '/').replace(/=*$/, ''));
  const wasm = await createReader('halfclip-files.wasm', places);
  const hash = wasm.exports.hc_wasm_sha2_new(DIGESTS[algorithm]);
  if (!hash) throw exhausted('a hash');
  return {
    update: (chunk) => {
      for (let at = 0; at < chunk.length; at += PIECE) {
        wasm.with(chunk.subarray(at, at + PIECE), 'a piece to hash', (pointer, length) =>
          wasm.exports.hc_wasm_sha2_update(hash, pointer, length),
        );
      }
    },
    verify: (name) => {
      const out = wasm.alloc(64, 'a digest');
      wasm.exports.hc_wasm_sha2_finish(hash, out);
      const found = btoa(String.fromCharCode(...wasm.bytes(out, DIGESTS[algorithm] / 8)));
      wasm.free(out);
      if (!expected.includes(found.replace(/=*$/, ''))) {
        throw new HalfclipError(
          'integrity/mismatch',
          `${name}: its digest is ${algorithm}-${found}, expected ${integrity}`,
        );
      }
    },
  };
}
