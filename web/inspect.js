// What a checkpoint holds, from its headers alone: tensors, types, towers and what each of them would cost. For the command line.

import { closestArchitecture } from './architecture.js';
import { readDirectory, readFileDirectory } from './directory.js';
import { DETECT, detectFormat } from './file-format.js';
import { completeLimits } from './limits.js';
import { measureTowers } from './measure-towers.js';
import { resolveModel } from './model.js';
import { towerOf } from './tensor-names.js';
import { describeWeights, openWeights } from './weights.js';

/**
 * @param {string | URL | Blob} place URL, path, Blob, `hf-hub:org/repo` or `local-dir:folder`
 * @param {{ hub?: string | URL, fetch?: typeof fetch, signal?: AbortSignal, retry?: object, limits?: object }} [options]
 * @returns {Promise<{ file: string, format: 'safetensors' | 'pytorch' | 'index', files: string[], bytes: number | null, fetchedBytes: number,
 *   architecture: { name: string, exact: boolean } | null, metadata: Record<string, string>,
 *   towers: Record<string, { count: number, bytes: number }>, dtypes: Record<string, { count: number, bytes: number }>,
 *   tensors: { name: string, dtype: string, shape: number[], bytes: number }[] }>} bytes: of all files, if that is known; tensors: in file order
 */
export async function inspect(place, options = {}) {
  const named = typeof place === 'string' && /^(hf-hub|local-dir):/.test(place);
  const weights = named ? (await resolveModel(place, undefined, 'text', options)).weights : describeWeights(place);
  let source = await openWeights(weights, options);
  try {
    const { name } = source;
    const format = detectFormat(await source.peek(DETECT));
    let held;
    if (format === 'safetensors') {
      held = await readFileDirectory(undefined, source);
    } else {
      const directory = await readDirectory(undefined, source, format, null, completeLimits(options.limits));
      source = directory.source;
      held = { tensors: JSON.parse(directory.json), metadata: {}, files: directory.files };
    }
    const { tensors: entries, metadata, files = [name] } = held;
    const tensors = Object.entries(entries)
      .sort(([, a], [, b]) => a.data_offsets[0] - b.data_offsets[0])
      .map(([name, { dtype, shape, data_offsets: [begin, end] }]) => ({ name, dtype, shape, bytes: end - begin }));
    return {
      file: name,
      format,
      files,
      bytes: source.size ?? null,
      fetchedBytes: source.fetched,
      architecture: closestArchitecture(measureTowers(entries)),
      metadata,
      towers: sums(tensors, ({ name }) => metadata.tower ?? towerOf(name)),
      dtypes: sums(tensors, ({ dtype }) => dtype),
      tensors,
    };
  } finally {
    await source.close();
  }
}

function sums(tensors, key) {
  const groups = {};
  for (const tensor of tensors) {
    const group = (groups[key(tensor)] ??= { count: 0, bytes: 0 });
    group.count++;
    group.bytes += tensor.bytes;
  }
  return groups;
}
