// The header of a safetensors file that is one of several, or that is only looked at. (One that is loaded alone, the
// loader in C reads itself.)

import { decodeText } from '../base/bytes.js';
import { HalfclipError } from '../base/errors.js';
import { readBytes } from '../sources/source.js';

const PREFIX = 8; // bytes before a safetensors header: its length
const MAX_HEADER = 16 * 2 ** 20; // as in src/checkpoint/safetensors.h

/**
 * What a file that is not safetensors looks like, in the words of hc_safetensors_guess; undefined: like nothing known.
 */
function guess(head) {
  if (head.length && head.every((byte) => byte === 0)) return 'a file of zeros';
  const text = String.fromCharCode(...head);
  if (text.startsWith('\x1f\x8b')) return 'a gzip archive';
  if (text.startsWith('GGUF')) return 'a GGUF file';
  if (text.startsWith('version ')) return 'a Git LFS pointer, not the file it points to';
  if (text.startsWith('\x93NUMPY')) return 'a NumPy array';
  if (text.startsWith('\x89HDF')) return 'an HDF5 file';
  if (/^\x08[\0-\x1f]\x12/.test(text)) return 'an ONNX model';
  const [, tag] = /^(?:\xef\xbb\xbf)?[ \t\r\n]*<(\??)/.exec(text) ?? [];
  if (tag !== undefined) return tag ? 'an XML document' : 'an HTML page';
  return undefined;
}

/**
 * @param {object} source
 * @param {Uint8Array} head its first bytes
 * @returns {Promise<{ tensors: object, metadata: object }>} tensors: a directory, with offsets from the file's start
 */
export async function readSafetensors(source, head) {
  const length = head.length < PREFIX ? 0 : Number(new DataView(head.buffer, head.byteOffset).getBigUint64(0, true));
  if (head.length <= PREFIX || head[PREFIX] !== 0x7b || length > MAX_HEADER) {
    const kind = guess(head);
    if (kind)
      throw new HalfclipError(
        'weights/format',
        `${source.name}: the file looks like ${kind}, expected a safetensors file`,
      );
    if (head.length <= PREFIX)
      throw new HalfclipError(
        'weights/truncated',
        `${source.name}: the file ends at byte ${head.length}, before its safetensors header does`,
      );
    throw new HalfclipError(
      'weights/format',
      `${source.name}: the file does not begin as a safetensors file does (with its header's length and '{')`,
    );
  }
  const start = PREFIX + length;
  const bytes = await readBytes(source, PREFIX, start);
  if (bytes.length < length)
    throw new HalfclipError(
      'weights/truncated',
      `${source.name}: ends after ${PREFIX + bytes.length} bytes, within its header of ${start}`,
    );
  const { __metadata__: metadata = {}, ...entries } = parseHeader(bytes, source.name);
  const tensors = {};
  for (const [
    name,
    {
      dtype,
      shape,
      data_offsets: [begin, end],
    },
  ] of Object.entries(entries)) {
    tensors[name] = { dtype, shape, data_offsets: [start + begin, start + end] };
    if (start + end > source.size)
      throw new HalfclipError(
        'weights/truncated',
        `${source.name}: ends after ${source.size} bytes, tensor ${name} at byte ${start + end}`,
      );
  }
  return { tensors, metadata };
}

/** The header of a safetensors file, as an object of well-formed entries. */
function parseHeader(bytes, name) {
  let header;
  try {
    header = JSON.parse(decodeText(bytes));
  } catch (error) {
    throw new HalfclipError('weights/format', `${name}: its header is not JSON: ${error.message}`, { cause: error });
  }
  const count = (n) => Number.isSafeInteger(n) && n >= 0;
  const isTensor = (entry) =>
    typeof entry?.dtype === 'string' &&
    Array.isArray(entry.shape) &&
    entry.shape.every(count) &&
    entry.data_offsets?.length === 2 &&
    entry.data_offsets.every(count) &&
    entry.data_offsets[0] <= entry.data_offsets[1];
  const wrong = Object.entries(header ?? {}).find(([key, entry]) => key !== '__metadata__' && !isTensor(entry));
  if (header === null || typeof header !== 'object' || wrong) {
    throw new HalfclipError(
      'weights/format',
      `${name}: its header is not that of a safetensors file${wrong ? `: tensor ${wrong[0]}` : ''}`,
    );
  }
  return header;
}
