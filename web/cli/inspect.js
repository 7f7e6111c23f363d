// halfclip inspect: what a checkpoint holds.

import { inspect } from '../inspect.js';
import { UsageError } from './options.js';
import { columns } from './table.js';
import { print } from './terminal.js';

export const summary = 'what a checkpoint holds';

export const help = `halfclip inspect FILE|URL|NAME: what a checkpoint holds, from its headers alone: format, architecture, tensors, towers and the bytes
that each would cost

  --json                                 one JSON object
  --hub URL                              where names such as hf-hub:org/repo are looked up (default: https://huggingface.co)
`;

export const options = { json: { type: 'boolean' }, hub: { type: 'string' } };

export async function run({ json, hub }, inputs) {
  if (inputs.length !== 1) throw new UsageError('inspect needs one FILE, URL or name such as hf-hub:org/repo');
  const report = await inspect(inputs[0], { hub });
  if (json) await print(JSON.stringify(report));
  else for (const line of inspectLines(report)) await print(line);
}

function architectureLine(architecture, { halfclip, model_cfg }) {
  if (architecture?.exact) return architecture.name;
  if (halfclip && model_cfg) return 'its own config';
  return architecture ? `none of OpenCLIP's, the closest is ${architecture.name}` : 'unknown';
}

function inspectLines({ file, format, files, bytes, fetchedBytes, architecture, metadata, towers, dtypes, tensors }) {
  const size = (n) => (n < 1e6 ? `${(n / 1e3).toFixed(1)} kB` : `${(n / 1e6).toFixed(1)} MB`);
  const count = (n) => `${n} tensor${n === 1 ? '' : 's'}`;
  const groups = (all) => columns(Object.entries(all).map(([name, group]) => [name, count(group.count), size(group.bytes)]));
  const kind = { safetensors: 'safetensors', pytorch: 'PyTorch', index: `${files.length} files` }[format];
  return [
    `${file}: ${kind}, ${bytes === null ? 'of unknown size' : size(bytes)}, ${count(tensors.length)}${
      metadata.halfclip ? `, a shard of halfclip (${metadata.tower} tower, ${metadata.dtype})` : ''}`,
    `architecture: ${architectureLine(architecture, metadata)}`,
    `read: ${size(fetchedBytes)}`,
    '',
    'metadata',
    ...columns(Object.entries(metadata)),
    '',
    'towers',
    ...groups(towers),
    '',
    'types',
    ...groups(dtypes),
    '',
    'tensors',
    ...columns(tensors.map(({ name, dtype, shape, bytes }) => [name, dtype, `[${shape.join(', ')}]`, String(bytes)])),
  ];
}
