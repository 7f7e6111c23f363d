// What a command works on: arguments, folders, and lines or JSON objects from standard input, one after the other and
// never all at once.

import { bytesOfDataUrl, isDataUrl } from '../node/data-url.js';
import { HalfclipError } from '../node/index.js';
import { readLines } from './lines.js';
import { UsageError, fileProblem, oneOf } from './options.js';
import { countPictures, exists, isFolder, picturesBelow } from './pictures.js';

const TOWERS = ['text', 'image', 'video'];

/** @typedef {'text' | 'image' | 'video'} Tower */
/**
 * @typedef {object} Item
 * @property {Record<string, unknown>} record what is printed of it, besides what was made of it
 * @property {unknown} id how lists of ids call it
 * @property {string} [where] where it came from, for messages
 * @property {unknown} [source] what is embedded; not there if there is an error
 * @property {Error} [error]
 */

const NOUNS = { image: 'picture', video: 'video' };

/** The places that a command line names: arguments, or else lines. */
async function* places(inputs) {
  if (inputs.length) {
    for (const input of inputs) yield { input };
    return;
  }
  for await (const { line, ...others } of readLines()) yield { input: line, ...others };
}

/** @param {'image' | 'video'} kind */
async function* files(inputs, kind) {
  for await (const { input, where, error } of places(inputs)) {
    const item = (record) => ({ record, id: input, where });
    if (error) {
      yield { record: {}, id: null, where, error };
      continue;
    }
    if (input === '') continue;
    if (!(await isFolder(input))) {
      yield { ...item({ input }), source: input };
      continue;
    }
    let found = 0;
    for await (const { input: path, source, error } of picturesBelow(input, kind)) {
      found++;
      const picture = { record: { input: path }, id: path, where };
      if (error) yield { ...picture, error: unreadable(path, error) };
      else yield await opened(picture, source);
    }
    if (!found)
      yield {
        ...item({ input }),
        error: new HalfclipError('input/decode', `${input}: there is no ${NOUNS[kind]} in this folder`),
      };
  }
}

async function opened(item, source) {
  try {
    return { ...item, source: typeof source === 'function' ? await source() : source };
  } catch (error) {
    return { ...item, error: unreadable(item.id, error) };
  }
}

const unreadable = (path, error) =>
  new HalfclipError('input/decode', `${path}: ${fileProblem(error)}`, { cause: error });

/** @param {boolean} certain whether the caller said that these are texts */
async function* texts(inputs, certain) {
  const isName = async (input) => !certain && (await exists(input));
  for (const input of inputs) if (await isName(input)) throw new UsageError(isFileQuestion(input));
  let first = true;
  for await (const { input, where, error } of places(inputs)) {
    const item = { record: { input }, id: input, where };
    if (error) yield { record: {}, id: null, where, error };
    else if (inputs.length || !(await isName(input))) yield { ...item, source: input };
    else if (first) throw new UsageError(isFileQuestion(input));
    else yield { ...item, error: new HalfclipError('input/type', isFileQuestion(input)) };
    first = false;
  }
}

const isFileQuestion = (input) =>
  `${JSON.stringify(input)} is the name of a file or folder: --tower image embeds the pictures there, --tower video the videos, --tower text the name as a text`;

/** Lines that are not blank. */
async function* written() {
  for await (const found of readLines()) if (found.error || found.line.trim() !== '') yield found;
}

/** @param {Tower} key */
async function* records(key, lines) {
  for await (const { line, where, error } of lines) {
    const failed = (error, record = {}) => ({ record, id: record.id ?? null, where, error });
    const wrong = (message, record) => failed(new HalfclipError('input/type', message), record);
    if (error) {
      yield failed(error);
      continue;
    }
    let record;
    try {
      record = JSON.parse(line);
    } catch (error) {
      yield wrong(`is not JSON: ${error.message}`);
      continue;
    }
    if (record === null || typeof record !== 'object' || Array.isArray(record)) yield wrong('is no JSON object');
    else if (typeof record[key] === 'string' && (key === 'text' || record[key])) yield embeddable(record, key, where);
    else {
      const other = TOWERS.find((other) => typeof record[other] === 'string' && other !== key);
      yield wrong(other ? `has "${other}", which needs --tower ${other}` : `has no string "${key}"`, record);
    }
  }
}

/** A JSON object's item. A picture that is in the object itself does not travel along. */
function embeddable(record, key, where) {
  const value = record[key];
  if (key === 'text' || !isDataUrl(value)) return { record, id: record.id ?? value, where, source: value };
  const { [key]: _, ...others } = record;
  const item = { record: others, id: record.id ?? where, where };
  try {
    return { ...item, source: bytesOfDataUrl(value) ?? value };
  } catch (error) {
    return { ...item, error };
  }
}

const holds = (line, key) => new RegExp(`"${key}"\\s*:`).test(line);

/** The tower that the first of some JSON objects is for, and all of them. */
async function peek(lines) {
  const first = await lines.next();
  const all = async function* () {
    if (first.done) return;
    yield first.value;
    yield* lines;
  };
  return {
    tower: TOWERS.find((tower) => holds(first.value?.line ?? '', tower)) ?? 'text',
    lines: all(),
  };
}

/**
 * The inputs of a command.
 * @param {string[]} args
 * @param {{ tower?: Tower, input?: 'lines' | 'jsonl', certain?: boolean }} options certain: whether texts
 *   may be names of files
 * @returns {Promise<{ tower: Tower, items: AsyncGenerator<Item> }>}
 */
export async function readInputs(args, { tower, input, certain }) {
  if (oneOf('input', input, 'lines', 'jsonl') !== 'jsonl') {
    const isText = tower === undefined || tower === 'text';
    return { tower: tower ?? 'text', items: isText ? texts(args, certain) : files(args, tower) };
  }
  if (args.length) throw new UsageError(`--input jsonl reads standard input, got ${args[0]}`);
  const found = tower ? { tower, lines: written() } : await peek(written());
  return { tower: found.tower, items: records(found.tower, found.lines) };
}

/** How many inputs there are, or null if that is not known beforehand. */
export async function countInputs(tower, args) {
  if (!args.length) return null;
  if (tower === 'text') return args.length;
  let count = 0;
  for (const input of args) {
    count += ((await isFolder(input)) && (await countPictures(input, tower))) || 1;
  }
  return count;
}

/** Items of which the first was read already. */
export async function* from(first, items) {
  if (first.done) return;
  yield first.value;
  yield* items;
}
