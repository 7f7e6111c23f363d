// halfclip shard: one tower of a checkpoint as a file of its own.

import { readFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';

import { loadEncoder } from '../encoder/load-encoder.js';
import { describeTokenizer } from '../encoder/tokenizer-files.js';
import { findVocabulary, writeShard } from '../encoder/write-shard.js';
import { resolveModel } from '../models/resolve.js';
import { Wasm } from '../wasm/instance.js';
import { TEMPORALS } from '../wasm/temporals.js';
import { calibrate } from './calibrate.js';
import {
  OptionError,
  SOURCE_HELP,
  SOURCE_OPTIONS,
  UsageError,
  atOption,
  isBetween,
  loadOptions,
  numberOf,
  oneOf,
} from './options.js';
import { SafeFile } from './safe-file.js';
import { clearStatus, print, statusLine } from './terminal.js';

export const summary = 'one tower of a checkpoint as a file of its own';

export const help = `halfclip shard --tower text|image|video --out FILE: one tower of a checkpoint as a .safetensors shard

  --tower text|image|video               which
  --temporal NAME                        of a video tower: meanP, seqTransf or seqLSTM (default: as the file holds it, else meanP)
  --out FILE                             where
  --vocabulary FILE                      merges for a text shard (default: CLIP's own)
  --calibrate FOLDER|FILE                with --dtype int4: rounds the weights for the pictures or films in this folder, or the texts of this file,
                                         one a line, as GPTQ does, which takes minutes; a fifth of them only measures. 100 are enough, of
                                         films a dozen
  --at-least COSINE                      with --dtype int4: as many tensors at 8 bits as the mean cosine to fp32 needs, those that lose most
                                         first; it is measured, and reported with what each tensor lost
  --bits N                               the same by size: 4.5 to 8.1 bits a weight at most, scales included
                                         without --calibrate these two use made-up pictures or texts
  --threads auto|N                       how many calibrate (default: auto, the number of cores, at most 8; not fewer than 2)
${SOURCE_HELP}`;

export const options = {
  ...SOURCE_OPTIONS,
  tower: { type: 'string' },
  temporal: { type: 'string' },
  out: { type: 'string' },
  vocabulary: { type: 'string' },
  calibrate: { type: 'string' },
  'at-least': { type: 'string' },
  bits: { type: 'string' },
  threads: { type: 'string' },
};

export async function run(values, inputs, signal) {
  if (inputs.length) throw new UsageError(`shard takes no inputs, got ${inputs[0]}`);
  const tower = oneOf('tower', values.tower, 'text', 'image', 'video');
  if (!tower) throw new UsageError('shard needs --tower text, --tower image or --tower video');
  const temporal = oneOf('temporal', values.temporal, 'meanP', 'seqTransf', 'seqLSTM');
  if (temporal && tower !== 'video') throw new UsageError('--temporal is of a video tower');
  if (!values.out) throw new UsageError('shard needs --out FILE');
  if (values.vocabulary && tower !== 'text') throw new UsageError('--vocabulary is of a text tower');
  if (values.vocabulary && values.tokenizer)
    throw new UsageError('--vocabulary and --tokenizer are two of the same: give one');
  const rounding = roundingOf(values);
  const vocabulary = values.vocabulary && (await readVocabulary(values.vocabulary));
  const { dtype = 'auto', hub, threads, onProgress, ...given } = await loadOptions(values, signal);
  const { name: model, config, weights } = await resolveModel(given.model, given.weights, tower, { hub, signal });
  const tokenizer = describeTokenizer(given.tokenizer, tower);
  const { imageSize, integrity, language } = given;
  const source = {
    tower,
    model,
    config,
    weights,
    tokenizer,
    language,
    hub,
    dtype,
    imageSize,
    temporal: TEMPORALS[temporal],
    integrity,
  };
  const report = rounding
    ? await writeCalibrated(
        { ...source, threads: atLeastTwo(threads) },
        { ...rounding, vocabulary, onProgress },
        values,
        signal,
      )
    : await writePlain(source, { vocabulary, onProgress }, values, signal);
  await print(JSON.stringify({ out: values.out, tower, ...report }));
}

/** The module for calibration is one for several threads. */
const atLeastTwo = (threads = 'auto') =>
  threads === 'auto' && availableParallelism() > 1 ? threads : Math.max(2, threads === 'auto' ? 2 : threads);

/** What calibrate() is asked for; null: the tower is written as it is loaded. */
function roundingOf({ dtype, calibrate: inputs, 'at-least': atLeast, bits }) {
  const name =
    inputs !== undefined ? 'calibrate' : atLeast !== undefined ? 'at-least' : bits !== undefined ? 'bits' : null;
  if (!name) return null;
  if (dtype !== 'int4')
    throw new UsageError(`--${name} needs --dtype int4, got ${dtype ? `--dtype ${dtype}` : 'none'}`);
  if (atLeast !== undefined && bits !== undefined)
    throw new UsageError('--at-least and --bits each say how many bits there are: give one');
  const between = (option, text, low, high) =>
    numberOf(option, text, `a number from ${low} to ${high}`, isBetween(low, high));
  return { inputs, atLeast: between('at-least', atLeast, 0, 1), bits: between('bits', bits, 4.5, 16) };
}

/** Pieces of a shard to a file, until the command is aborted; how many bytes they are. */
class ShardFile extends SafeFile {
  bytes = 0;

  constructor(path, signal) {
    super(path);
    this.take = (piece) => {
      signal.throwIfAborted();
      this.write(piece);
      this.bytes += piece.length;
    };
  }
}

async function writePlain(source, { vocabulary, onProgress }, values, signal) {
  const encoder = await loadEncoder({ ...source, families: 'all' }, { signal, onProgress });
  checkVocabulary(vocabulary, values.vocabulary, encoder.info);
  const file = new ShardFile(values.out, signal);
  try {
    await writeShard(encoder.tower, file.take, await findVocabulary(encoder, vocabulary, signal));
    file.commit();
  } catch (error) {
    file.discard();
    throw error;
  }
  const { dtype, parameters, memoryBytes } = encoder.info;
  encoder.dispose();
  return { dtype, parameters, bytes: file.bytes, memoryBytes };
}

async function writeCalibrated(source, options, values, signal) {
  let file = new ShardFile(values.out, signal);
  const write = async (produce) => {
    file.discard();
    file = new ShardFile(values.out, signal);
    await produce(file.take);
    return file.temporary;
  };
  const check = (info) => checkVocabulary(options.vocabulary, values.vocabulary, info);
  try {
    const { info, report } = await calibrate(source, {
      ...options,
      write,
      check,
      signal,
      tell: statusLine(values.quiet),
    });
    file.commit();
    const { dtype, parameters, memoryBytes } = info;
    return { dtype, parameters, bytes: file.bytes, memoryBytes, calibration: report };
  } catch (error) {
    file.discard();
    throw error;
  } finally {
    clearStatus();
  }
}

function checkVocabulary(vocabulary, path, { vocabSize }) {
  // Bytes, bytes that end a word, merges, start and end of text.
  const tokens = vocabulary && 512 + vocabulary.length / 4 + 2;
  if (tokens > vocabSize) throw new OptionError('vocabulary', path, `has ${tokens} tokens, the model ${vocabSize}`);
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
