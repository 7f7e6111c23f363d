// halfclip inspect: what a checkpoint, or a name, stands for.

import { UsageError } from './options.js';
import { inspect } from './report.js';
import { columns } from './table.js';
import { print } from './terminal.js';

export const summary = "what a checkpoint or a model's name stands for";

export const help = `halfclip inspect FILE|URL|NAME: what a checkpoint holds, from its headers alone: format, architecture with its activation, towers and
the bytes that each would cost; or what an architecture of OpenCLIP (ViT-B-32) is: towers, parameters, sizes and pretrained tags. A NAME may also be
hf-hub:org/repo, local-dir:folder or halfclip-emoji, the bundled model

  --tensors                              list the tensors, too
  --json                                 one JSON object, in which the tensors always are
  --hub URL                              where names such as hf-hub:org/repo are looked up (default: https://huggingface.co)
`;

export const options = { json: { type: 'boolean' }, tensors: { type: 'boolean' }, hub: { type: 'string' } };

export async function run({ json, tensors, hub }, inputs) {
  if (inputs.length !== 1) throw new UsageError('inspect needs one FILE, URL or name such as hf-hub:org/repo');
  const report = await inspect(inputs[0], { hub });
  if (json) await print(JSON.stringify(report));
  else
    for (const line of report.file === undefined ? architectureLines(report) : fileLines(report, tensors))
      await print(line);
}

const MOST_NAMES = 4;

const activationName = (quickGelu) => (quickGelu ? 'QuickGELU' : 'GELU');

function architectureName({ architecture, names, metadata }) {
  if (names.length > MOST_NAMES)
    return `${names.slice(0, MOST_NAMES).join(', ')} or one of ${names.length - MOST_NAMES} others`;
  if (names.length) return names.join(' or ');
  if (metadata.halfclip && metadata.model_cfg) return 'its own config';
  return architecture ? `none of OpenCLIP's, the closest is ${architecture.name}` : 'unknown';
}

function fileLines(report, withTensors) {
  const {
    file,
    format,
    files,
    bytes,
    fetchedBytes,
    activation: { quickGelu, because },
    notKept,
    metadata,
    towers,
    dtypes,
    tensors,
  } = report;
  const size = (n) => (n < 1e6 ? `${(n / 1e3).toFixed(1)} kB` : `${(n / 1e6).toFixed(1)} MB`);
  const count = (n) => `${n} tensor${n === 1 ? '' : 's'}`;
  const groups = (all) =>
    columns(Object.entries(all).map(([name, group]) => [name, count(group.count), size(group.bytes)]));
  const kind = { safetensors: 'safetensors', pytorch: 'PyTorch', index: `${files.length} files` }[format];
  return [
    `${file}: ${kind}, ${bytes === null ? 'of unknown size' : size(bytes)}, ${count(tensors.length)}${
      metadata.halfclip ? `, a shard of halfclip (${metadata.tower} tower, ${metadata.dtype})` : ''
    }`,
    `architecture: ${architectureName(report)}`,
    `activation: ${quickGelu === null ? 'GELU or QuickGELU' : activationName(quickGelu)}: ${because}`,
    `read: ${size(fetchedBytes)}`,
    ...(notKept === null ? [] : [`cache: ${notKept}`]),
    '',
    'metadata',
    ...columns(Object.entries(metadata)),
    '',
    'towers',
    ...groups(towers),
    '',
    'types',
    ...groups(dtypes),
    ...(withTensors
      ? [
          '',
          'tensors',
          ...columns(
            tensors.map(({ name, dtype, shape, bytes }) => [name, dtype, `[${shape.join(', ')}]`, String(bytes)]),
          ),
        ]
      : []),
  ];
}

function architectureLines({ architecture: { name }, activation: { quickGelu }, towers, tags }) {
  const about = ({ parameters, imageSize, contextLength, vocabSize, dim }) => [
    parameters === null ? 'parameters unknown' : `${(parameters / 1e6).toFixed(1)} M parameters`,
    imageSize === undefined
      ? `${contextLength} tokens of ${vocabSize}`
      : `pictures of ${[imageSize, imageSize].flat().slice(0, 2).join(' x ')}`,
    `vectors of ${dim}`,
  ];
  return [
    `${name}: an architecture of OpenCLIP, with ${activationName(quickGelu)}`,
    '',
    'towers',
    ...columns(Object.entries(towers).map(([tower, facts]) => [tower, ...about(facts)])),
    '',
    'pretrained tags',
    ...(tags.length ? tags.map((tag) => `  ${tag}`) : ['  none']),
  ];
}
