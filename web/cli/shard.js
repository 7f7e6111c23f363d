// halfclip shard: one tower of a checkpoint as a file of its own.

import { readFile } from 'node:fs/promises';

import { loadEncoder } from '../encoder/load-encoder.js';
import { writeShard } from '../encoder/write-shard.js';
import { resolveModel } from '../models/resolve.js';
import { Wasm } from '../wasm/instance.js';
import { OptionError, SOURCE_HELP, SOURCE_OPTIONS, UsageError, atOption, loadOptions, oneOf } from './options.js';
import { SafeFile } from './safe-file.js';
import { print } from './terminal.js';

export const summary = 'one tower of a checkpoint as a file of its own';

export const help = `halfclip shard --tower text|image --out FILE: one tower of a checkpoint as a .safetensors shard

  --tower text|image                     which
  --out FILE                             where
  --vocabulary FILE                      merges for a text shard (default: CLIP's own)
${SOURCE_HELP}`;

export const options = {
  ...SOURCE_OPTIONS,
  tower: { type: 'string' },
  out: { type: 'string' },
  vocabulary: { type: 'string' },
};

export async function run(values, inputs, signal) {
  if (inputs.length) throw new UsageError(`shard takes no inputs, got ${inputs[0]}`);
  const tower = oneOf('tower', values.tower, 'text', 'image');
  if (!tower) throw new UsageError('shard needs --tower text or --tower image');
  if (!values.out) throw new UsageError('shard needs --out FILE');
  if (values.vocabulary && tower === 'image') throw new UsageError('--vocabulary is of a text tower');
  const vocabulary = values.vocabulary && (await readVocabulary(values.vocabulary));
  const { model, weights, dtype = 'auto', integrity, hub, onProgress } = await loadOptions(values, signal);
  const resolved = await resolveModel(model, weights, tower, { hub, signal });
  const source = { tower, model: resolved.name, config: resolved.config, weights: resolved.weights, dtype, integrity };
  const encoder = await loadEncoder(source, { signal, onProgress });
  // Bytes, bytes that end a word, merges, start and end of text.
  const tokens = vocabulary && 512 + vocabulary.length / 4 + 2;
  if (tokens > encoder.info.vocabSize) {
    throw new OptionError('vocabulary', values.vocabulary, `has ${tokens} tokens, the model ${encoder.info.vocabSize}`);
  }

  const file = new SafeFile(values.out);
  let bytes = 0;
  try {
    await writeShard(
      encoder.tower,
      (piece) => {
        signal.throwIfAborted();
        file.write(piece);
        bytes += piece.length;
      },
      vocabulary,
    );
    file.commit();
  } catch (error) {
    file.discard();
    throw error;
  }
  const { parameters, memoryBytes } = encoder.info;
  await print(JSON.stringify({ out: values.out, tower, dtype: encoder.info.dtype, parameters, bytes, memoryBytes }));
  encoder.dispose();
}

/** The merges of a file, if they are a vocabulary. */
async function readVocabulary(path) {
  const bytes = await readFile(path).catch((error) => {
    throw atOption('vocabulary', path, error);
  });
  const wasm = await Wasm.create();
  if (
    !bytes.length ||
    !wasm.with(bytes, 'the vocabulary', (pointer, length) => wasm.exports.hc_tokenizer_new(pointer, length, 0))
  ) {
    throw new OptionError(
      'vocabulary',
      path,
      'is not a list of merges, expected pairs of 16-bit token ids as in clip-merges.bin',
    );
  }
  return bytes;
}
