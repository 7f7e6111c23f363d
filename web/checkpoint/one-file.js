// The tensors of one file, whatever its format.

import { HalfclipError } from '../base/errors.js';
import { DETECT, detectFormat } from './file-format.js';
import { readPyTorch } from './pytorch.js';
import { readSafetensors } from './safetensors.js';

/** The tensors of one file, with offsets from its start: { tensors, metadata, source }. */
export async function readFileDirectory(places, source, held) {
  const head = await source.peek(DETECT);
  const format = detectFormat(head);
  if (format === 'index')
    throw new HalfclipError('weights/format', `${source.name}: looks like a JSON text, expected a .safetensors file`);
  if (format === 'safetensors') return { source, ...(await readSafetensors(source, head)) };
  const { json, source: file } = await readPyTorch(places, source, held);
  return { source: file, tensors: JSON.parse(json), metadata: {} };
}
