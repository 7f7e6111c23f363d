// Options that several commands take, and what is wrong with a command line.

import { readFile } from 'node:fs/promises';

import { HalfclipError } from '../node/index.js';
import { withProgressBar } from './terminal.js';

/** A command line that makes no sense; the program ends with 2. */
export class UsageError extends Error {}

/** A file or folder that an option names and that does not do. */
export class OptionError extends Error {
  constructor(option, path, problem) {
    super(`option --${option}: ${path}: ${problem}`);
  }
}

const FILE_PROBLEMS = {
  ENOENT: 'there is no such file or folder',
  EISDIR: 'is a folder',
  ENOTDIR: 'is no folder, or lies in none',
  EACCES: 'permission denied',
};

/** What the system says about a file, in words. */
export const fileProblem = (error) => FILE_PROBLEMS[error.code] ?? error.message;

/** The error to throw for one that came up at the path of an option. */
export const atOption = (option, path, error) =>
  error.syscall ? new OptionError(option, path, fileProblem(error)) : error;

/** The texts of a file that an option names: its lines, but for empty ones. */
export async function readTexts(option, path) {
  const text = await readFile(path, 'utf8').catch((error) => {
    throw atOption(option, path, error);
  });
  return text
    .replace(/^\ufeff/, '')
    .split(/\r?\n/)
    .filter((line) => line.trim());
}

const STRING = { type: 'string' };
const FLAG = { type: 'boolean' };

export const SOURCE_OPTIONS = {
  model: STRING,
  weights: STRING,
  dtype: STRING,
  'image-size': STRING,
  integrity: STRING,
  hub: STRING,
  tokenizer: STRING,
  language: STRING,
  quiet: FLAG,
};
export const LOAD_OPTIONS = { ...SOURCE_OPTIONS, threads: STRING, cache: STRING, 'cache-dir': STRING };
export const RUN_OPTIONS = { ...LOAD_OPTIONS, input: STRING, 'fail-fast': FLAG };

export const SOURCE_HELP = `  --model NAME|CONFIG.json               an OpenCLIP architecture, hf-hub:org/repo, local-dir:folder, or the path of an open_clip_config.json;
                                         needed unless the weights are a shard (default: halfclip-emoji, the bundled model, which knows
                                         emoji and nothing else, where no weights are given)
  --weights FILE|URL|TAG                 a checkpoint (.safetensors, .safetensors.index.json, PyTorch's .pt, .pth, .bin) or a shard, or
                                         one of OpenCLIP's pretrained tags; not needed where the model's name says where they are
  --hub URL                              where such names are looked up (default: https://huggingface.co)
  --tokenizer FILE|URL                   a tokenizer.json of Hugging Face's, for a text tower whose tokenizer is not CLIP's (default: the
                                         one in the shard, beside the weights, or in the repository that the model's config names)
  --language CODE                        of the texts, such as eng_Latn, where the tokenizer has languages
  --dtype fp32|fp16|int8|int4            default: as the shard holds the weights, else int8
  --image-size N|HEIGHTxWIDTH            pixels of the pictures that an image tower takes, in place of its config's: positions are resized
  --integrity sha256-...                 checks the weight file
  --quiet                                no progress on a terminal
`;

export const LOAD_HELP = `${SOURCE_HELP}  --threads auto|N                       how many compute (default: auto, the number of cores, at most 8)
  --cache default|no-store|reload        whether a tower that comes by URL is kept (default), not kept, or fetched again and kept
  --cache-dir FOLDER                     where (default: halfclip in XDG_CACHE_HOME or ~/.cache)
`;

export const INPUT_HELP = `  --input lines|jsonl                    what standard input holds: an input a line (default), or JSON objects {"id", "text"} or
                                         {"id", "image"}, whose other fields travel along; an image may be a data: URL
  --fail-fast                            stop at the first input that fails; else it is reported, the others go on, and the exit
                                         status is 1 at the end
`;

/** How the library takes the options of a command line. */
export async function loadOptions(
  {
    model,
    weights,
    dtype,
    'image-size': imageSize,
    threads,
    integrity,
    hub,
    tokenizer,
    language,
    cache,
    'cache-dir': dir,
    quiet,
  },
  signal,
) {
  const options = {
    dtype,
    imageSize: readImageSize(imageSize),
    integrity,
    hub,
    tokenizer,
    language,
    cache: { mode: cache, dir },
    weights,
    signal,
    onProgress: withProgressBar(quiet),
  };
  if (threads === 'auto') options.threads = threads;
  else if (threads !== undefined)
    options.threads = numberOf('threads', threads, 'auto or a number from 1 to 64', isWhole(1, 64));
  if (model === undefined && weights === undefined) model = 'halfclip-emoji';
  if (model !== undefined) options.model = model.endsWith('.json') ? await readConfig(model) : model;
  return options;
}

function readImageSize(text) {
  if (text === undefined) return undefined;
  const sides = /^([1-9]\d{0,4})(?:x([1-9]\d{0,4}))?$/.exec(text);
  if (!sides) throw new UsageError(`--image-size is ${text}, expected a number of pixels, or two such as 224x336`);
  const [, height, width = height] = sides;
  return [Number(height), Number(width)];
}

async function readConfig(path) {
  let text;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    throw new HalfclipError(
      'model/unknown',
      `${path}: ${error.code === 'ENOENT' ? 'there is no such file' : error.message}`,
    );
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new HalfclipError('model/unknown', `${path}: is not JSON: ${error.message}`);
  }
}

/**
 * The number that an option says; undefined without it.
 * @param {string} option
 * @param {string | undefined} text
 * @param {string} expected such as `a number above 0`
 * @param {(number: number) => boolean} isRight
 */
export function numberOf(option, text, expected, isRight) {
  if (text === undefined) return undefined;
  const number = text.trim() === '' ? NaN : Number(text);
  if (!Number.isFinite(number) || !isRight(number))
    throw new UsageError(`--${option} is ${text}, expected ${expected}`);
  return number;
}

export const isBetween = (low, high) => (number) => number >= low && number <= high;
export const isWhole = (low, high) => (number) => Number.isInteger(number) && number >= low && number <= high;

/** What counts something. */
export const countOf = (option, text) => numberOf(option, text, 'a whole number of at least 1', isWhole(1, Infinity));

/** What may have a fraction, but not be nothing. */
export const positiveOf = (option, text) => numberOf(option, text, 'a number above 0', (number) => number > 0);

export function oneOf(option, value, ...choices) {
  if (value !== undefined && !choices.includes(value))
    throw new UsageError(`--${option} is ${value}, expected ${choices.join(' or ')}`);
  return value;
}
