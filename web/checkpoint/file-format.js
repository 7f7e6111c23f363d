// The formats of checkpoints, told by how a file begins.

const PREFIX = 8; // bytes before a safetensors header: its length

/** How many bytes detectFormat looks at. */
export const DETECT = 262;

/**
 * Tells a file's format by how it begins.
 * @param {Uint8Array} head the first DETECT bytes, or all
 * @returns {'safetensors' | 'pytorch' | 'index'} 'safetensors' also for what is nothing else, so that the loader says
 *   what it is
 */
export function detectFormat(head) {
  const begins = (...bytes) => bytes.every((byte, i) => head[i] === byte);
  if (head.length > PREFIX && head[PREFIX] === 0x7b && head[6] === 0 && head[7] === 0) return 'safetensors';
  const text = String.fromCharCode(...head);
  // torch.save wrote tar archives and then bare pickles before it wrote zip archives: the reader of those says so.
  if (begins(0x50, 0x4b) || (begins(0x80) && head[1] >= 2 && head[1] <= 5) || text.startsWith('ustar', 257))
    return 'pytorch';
  return /^(\xef\xbb\xbf)?\s*\{/.test(text) ? 'index' : 'safetensors';
}
