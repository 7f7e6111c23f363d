#!/usr/bin/env node
// The command line: embed, rank, shard, inspect, cache. Results go to stdout (JSON lines for programs), progress and errors to stderr.

import { closeSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';

import { cacheTable, emptyCache, listCache } from './cache-command.js';
import { Encoder } from './encoder.js';
import { HalfclipError, cosineSimilarity, loadImageEncoder, loadTextEncoder } from './node/index.js';
import { inspect } from './inspect.js';
import { resolveModel } from './model.js';
import { Wasm } from './wasm.js';

const HELP = `halfclip: half of CLIP, an image encoder or a text encoder, loaded alone

  halfclip embed [inputs...]             vectors of texts or pictures, as JSON lines {"input", "embedding"};
                                         without inputs, one a line from standard input (an empty line is an empty text)
      --tower text|image                 default: text, or image if the shard holds one
      --no-normalize                     vectors as the tower gives them, not of length 1
  halfclip rank --query TEXT pictures... pictures by words, best first
  halfclip rank --picture FILE texts...  words by picture, best first; without texts, one a line from standard input
      --top N                            print only the best N
      --json                             JSON lines {"input", "score"}
      --image-weights FILE, --text-weights FILE
                                         one shard for each tower, in place of --weights
  halfclip shard --tower text|image --out FILE
                                         one tower of a checkpoint as a .safetensors shard
      --vocabulary FILE                  merges for a text shard (default: CLIP's own)
  halfclip inspect FILE|URL|NAME [--json]
                                         what a checkpoint holds, from its headers alone: format, architecture, tensors, towers and
                                         the bytes that each would cost
  halfclip cache ls [--json]             the towers that are kept, so that loading them again fetches nothing
  halfclip cache rm --all | PATTERN...   removes those whose URL has the pattern in it; * stands for anything

  --model NAME|CONFIG.json               an OpenCLIP architecture, hf-hub:org/repo, local-dir:folder, or the path of an open_clip_config.json;
                                         needed unless the weights are a shard (default: halfclip-emoji, the bundled model, where no
                                         weights are given)
  --weights FILE|URL|TAG                 a checkpoint (.safetensors, .safetensors.index.json, PyTorch's .pt, .pth, .bin) or a shard, or
                                         one of OpenCLIP's pretrained tags; not needed where the model's name says where they are
  --hub URL                              where such names are looked up (default: https://huggingface.co)
  --dtype fp32|fp16|int8|int4            default: as the shard holds the weights, else int8
  --threads auto|N                       how many compute (default: auto, the number of cores, at most 8)
  --integrity sha256-...                 checks the weight file
  --cache default|no-store|reload        whether a tower that comes by URL is kept (default), not kept, or fetched again and kept
  --cache-dir FOLDER                     where (default: halfclip in XDG_CACHE_HOME or ~/.cache)
  --quiet                                no progress bar
  --help, --version
`;

const OPTIONS = {
  model: { type: 'string' },
  weights: { type: 'string' },
  'image-weights': { type: 'string' },
  'text-weights': { type: 'string' },
  tower: { type: 'string' },
  dtype: { type: 'string' },
  threads: { type: 'string' },
  integrity: { type: 'string' },
  hub: { type: 'string' },
  cache: { type: 'string' },
  'cache-dir': { type: 'string' },
  all: { type: 'boolean' },
  out: { type: 'string' },
  vocabulary: { type: 'string' },
  query: { type: 'string' },
  picture: { type: 'string' },
  top: { type: 'string' },
  'no-normalize': { type: 'boolean' },
  json: { type: 'boolean' },
  quiet: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
  version: { type: 'boolean', short: 'v' },
};

const SOURCE_OPTIONS = ['model', 'weights', 'dtype', 'integrity', 'hub', 'quiet'];
const LOAD_OPTIONS = [...SOURCE_OPTIONS, 'threads', 'cache', 'cache-dir'];
const COMMANDS = {
  embed: { run: embed, options: [...LOAD_OPTIONS, 'tower', 'no-normalize'] },
  rank: { run: rank, options: [...LOAD_OPTIONS, 'query', 'picture', 'top', 'json', 'image-weights', 'text-weights'] },
  shard: { run: shard, options: [...SOURCE_OPTIONS, 'tower', 'out', 'vocabulary'] },
  inspect: { run: inspectFile, options: ['json', 'hub'] },
  cache: { run: manageCache, options: ['json', 'all', 'cache-dir'] },
};

class UsageError extends Error {}

/** A file or folder that an option names and that does not do. */
class OptionError extends Error {
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

/** The error to throw for one that came up at the path of an option: what the system says becomes a sentence. */
function atOption(option, path, error) {
  return error.syscall ? new OptionError(option, path, FILE_PROBLEMS[error.code] ?? error.message) : error;
}

/** Prints a line; a reader that has seen enough (`| head`) ends the program quietly. */
const print = (line) => process.stdout.write(`${line}\n`);
process.stdout.on('error', (error) => process.exit(error.code === 'EPIPE' ? 0 : 1));

/** How the library takes the options of a command line. */
async function loadOptions({ model, weights, dtype, threads, integrity, hub, cache, 'cache-dir': dir, quiet }, bar = true) {
  const options = { dtype, integrity, hub, cache: { mode: cache, dir }, weights, onProgress: bar && !quiet && process.stderr.isTTY ? progressBar() : undefined };
  if (threads !== undefined) options.threads = threads === 'auto' ? threads : Number(threads);
  if (model === undefined && weights === undefined) model = 'halfclip-emoji';
  if (model !== undefined) options.model = model.endsWith('.json') ? await readConfig(model) : model;
  return options;
}

async function readConfig(path) {
  let text;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    throw new HalfclipError('model/unknown', `${path}: ${error.code === 'ENOENT' ? 'there is no such file' : error.message}`);
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new HalfclipError('model/unknown', `${path}: is not JSON: ${error.message}`);
  }
}

function progressBar() {
  const width = 30;
  let last = 0;
  return ({ loaded, total }) => {
    const done = loaded === total;
    if (!done && Date.now() - last < 50) return;
    last = Date.now();
    const share = total ? loaded / total : 0;
    const bar = '█'.repeat(Math.round(share * width)).padEnd(width, '░');
    const megabytes = (bytes) => (bytes / 1e6).toFixed(1);
    const text = total ? `${bar} ${megabytes(loaded)} of ${megabytes(total)} MB` : `${megabytes(loaded)} MB`;
    process.stderr.write(`\r\x1b[K${done ? '' : text}`);
  };
}

/** The lines of standard input, empty ones too: line n of the output is of line n. What follows the last line's end is no line. */
const inputLines = () => createInterface({ input: process.stdin, crlfDelay: Infinity });

async function* batches(items, size) {
  let batch = [];
  for await (const item of items) {
    batch.push(item);
    if (batch.length === size) {
      yield batch;
      batch = [];
    }
  }
  if (batch.length) yield batch;
}

function checkTower(tower) {
  if (tower !== undefined && tower !== 'text' && tower !== 'image') throw new UsageError(`--tower is ${tower}, expected text or image`);
  return tower;
}

async function embed(values, inputs) {
  const options = await loadOptions(values);
  const tower = checkTower(values.tower) ?? (await towerOf(values.weights)) ?? 'text';
  const encoder = await (tower === 'text' ? loadTextEncoder : loadImageEncoder)(options);
  for await (const batch of batches(inputs.length ? inputs : inputLines(), 32)) {
    const vectors = await encoder.embed(batch, { normalize: !values['no-normalize'] });
    batch.forEach((input, i) => print(JSON.stringify({ input, embedding: Array.from(vectors[i]) })));
  }
  encoder.dispose();
}

/** Which tower a local shard holds, if `weights` is one; whatever is wrong with it, the loader says it. */
async function towerOf(weights) {
  if (weights === undefined || /^https?:/i.test(weights)) return undefined;
  const { metadata } = await inspect(weights).catch(() => ({ metadata: {} }));
  return metadata.tower === 'image' || metadata.tower === 'text' ? metadata.tower : undefined;
}

async function rank(values, inputs) {
  const { query, picture } = values;
  if ((query === undefined) === (picture === undefined)) throw new UsageError('rank needs either --query or --picture');
  const top = values.top === undefined ? Infinity : Number(values.top);
  if (!(top >= 1) || top % 1) throw new UsageError(`--top is ${values.top}, expected a whole number of at least 1`);
  const [ofText, ofImage] = [values['text-weights'], values['image-weights']];
  if ((ofText === undefined) !== (ofImage === undefined) && values.weights === undefined && values.model === undefined) {
    throw new UsageError(`--${ofText === undefined ? 'image' : 'text'}-weights needs --${ofText === undefined ? 'text' : 'image'}-weights too: ` +
      'vectors of two models have nothing in common');
  }
  if (!inputs.length) for await (const line of inputLines()) if (line) inputs.push(line);
  if (!inputs.length) throw new UsageError('rank got nothing to rank');

  // One tower is in memory at a time.
  const vectorsOf = async (load, weights, items) => {
    const encoder = await load(await loadOptions({ ...values, weights: weights ?? values.weights }));
    const vectors = await encoder.embed(items);
    encoder.dispose();
    return vectors;
  };
  const texts = query === undefined ? inputs : [query];
  const pictures = query === undefined ? [picture] : inputs;
  const textVectors = await vectorsOf(loadTextEncoder, ofText, texts);
  const pictureVectors = await vectorsOf(loadImageEncoder, ofImage, pictures);
  const scored = inputs.map((input, i) => ({
    input,
    score: query === undefined ? cosineSimilarity(textVectors[i], pictureVectors[0]) : cosineSimilarity(textVectors[0], pictureVectors[i]),
  }));
  scored.sort((a, b) => b.score - a.score);
  for (const { input, score } of scored.slice(0, top)) print(values.json ? JSON.stringify({ input, score }) : `${score.toFixed(4)}  ${input}`);
}

/** The merges of a file, if they are a vocabulary. */
async function readVocabulary(path) {
  const bytes = await readFile(path).catch((error) => {
    throw atOption('vocabulary', path, error);
  });
  const wasm = await Wasm.create();
  if (!bytes.length || !wasm.with(bytes, 'the vocabulary', (pointer, length) => wasm.exports.hc_tokenizer_new(pointer, length, 0))) {
    throw new OptionError('vocabulary', path, 'is not a list of merges, expected pairs of 16-bit token ids as in clip-merges.bin');
  }
  return bytes;
}

async function shard(values, inputs) {
  if (inputs.length) throw new UsageError(`shard takes no inputs, got ${inputs[0]}`);
  const tower = checkTower(values.tower);
  if (!tower) throw new UsageError('shard needs --tower text or --tower image');
  if (!values.out) throw new UsageError('shard needs --out FILE');
  if (values.vocabulary && tower === 'image') throw new UsageError('--vocabulary is of a text tower');
  const vocabulary = values.vocabulary && (await readVocabulary(values.vocabulary));
  const { model, weights, dtype = 'auto', integrity, hub, onProgress } = await loadOptions(values);
  const resolved = await resolveModel(model, weights, tower, { hub });
  const source = { tower, model: resolved.name, config: resolved.config, weights: resolved.weights, dtype, integrity };
  const encoder = await Encoder.load(source, { onProgress });
  const tokens = vocabulary && 512 + vocabulary.length / 4 + 2; // bytes, bytes that end a word, merges, start and end of text
  if (tokens > encoder.info.vocabSize) {
    throw new OptionError('vocabulary', values.vocabulary, `has ${tokens} tokens, the model ${encoder.info.vocabSize}`);
  }

  // Written beside its place and moved there whole: no reader ever sees half a shard.
  const temporary = `${values.out}.${process.pid}.tmp`;
  let bytes = 0;
  try {
    const file = openSync(temporary, 'wx');
    await encoder.writeShard((piece) => {
      for (let at = 0; at < piece.length; ) at += writeSync(file, piece, at);
      bytes += piece.length;
    }, vocabulary);
    closeSync(file);
    renameSync(temporary, values.out);
  } catch (error) {
    if (error.code !== 'ENOTDIR') rmSync(temporary, { force: true });
    throw atOption('out', values.out, error);
  }
  const { parameters, memoryBytes } = encoder.info;
  print(JSON.stringify({ out: values.out, tower, dtype: encoder.info.dtype, parameters, bytes, memoryBytes }));
  encoder.dispose();
}

async function inspectFile({ json, hub }, inputs) {
  if (inputs.length !== 1) throw new UsageError('inspect needs one FILE, URL or name such as hf-hub:org/repo');
  const report = await inspect(inputs[0], { hub });
  if (json) print(JSON.stringify(report));
  else for (const line of inspectLines(report)) print(line);
}

/** The lines of a table. */
function columns(rows) {
  const widths = (rows[0] ?? []).map((_, i) => Math.max(...rows.map((row) => row[i].length)));
  return rows.map((row) => `  ${row.map((cell, i) => cell.padEnd(widths[i])).join('  ')}`.trimEnd());
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

async function manageCache(values, inputs) {
  try {
    await listOrRemove(values, inputs);
  } catch (error) {
    throw atOption('cache-dir', values['cache-dir'] ?? error.path, error);
  }
}

async function listOrRemove({ 'cache-dir': dir, json, all }, [action, ...patterns]) {
  if (action === 'ls' && !patterns.length && !all) {
    const entries = await listCache(dir);
    for (const line of json ? entries.map((entry) => JSON.stringify(entry)) : columns(cacheTable(entries))) print(line);
  } else if (action === 'rm' && Boolean(all) !== patterns.length > 0) {
    const removed = await emptyCache(dir, patterns);
    for (const line of json ? removed.map((entry) => JSON.stringify(entry)) : removed.map(({ url, name }) => url ?? name)) print(line);
    if (!removed.length && !all) throw new HalfclipError('weights/not-found', `no tower is kept whose URL has ${patterns.join(' or ')} in it`);
  } else {
    throw new UsageError('cache needs ls, rm --all, or rm and patterns');
  }
}

async function main([command, ...rest]) {
  if (command === '--version' || command === '-v') {
    print(JSON.parse(await readFile(new URL('../package.json', import.meta.url), 'utf8')).version);
    return;
  }
  if (command === undefined || command === '--help' || command === '-h') {
    (command === undefined ? process.stderr : process.stdout).write(HELP);
    process.exitCode = command === undefined ? 2 : 0;
    return;
  }
  if (!Object.hasOwn(COMMANDS, command)) throw new UsageError(`unknown command ${command}, expected ${Object.keys(COMMANDS).join(', ')}`);
  const { run, options } = COMMANDS[command];
  const allowed = Object.fromEntries(['help', ...options].map((name) => [name, OPTIONS[name]]));
  let parsed;
  try {
    parsed = parseArgs({ args: rest, options: allowed, allowPositionals: true });
  } catch (error) {
    throw new UsageError(error.message);
  }
  if (parsed.values.help) process.stdout.write(HELP);
  else await run(parsed.values, parsed.positionals);
}

main(process.argv.slice(2)).catch((error) => {
  let message = error.stack;
  if (error instanceof HalfclipError) message = `${error.code}: ${error.message}`;
  else if (error instanceof UsageError) message = `usage: ${error.message}`;
  else if (error instanceof OptionError) ({ message } = error);
  process.stderr.write(`halfclip: ${message}\n`);
  process.exitCode = error instanceof UsageError ? 2 : 1;
});
