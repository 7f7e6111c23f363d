// What a command works on: arguments, folders, and lines or JSON objects from standard input, one after the other and
// never all at once.

import { HalfclipError } from '../node/index.js';
import { UsageError, fileProblem, oneOf } from './options.js';
import { countPictures, exists, isFolder, picturesBelow } from './pictures.js';

/**
 * @typedef {object} Item
 * @property {Record<string, unknown>} record what is printed of it, besides what was made of it
 * @property {unknown} id how lists of ids call it
 * @property {string} [where] where it came from, for messages
 * @property {unknown} [source] what is embedded; not there if there is an error
 * @property {Error} [error]
 */

/**
 * The lines of standard input, empty ones too: line n of the output is of line n. What follows the last line's end is
 * no line.
 */
async function* lines() {
  const decoder = new TextDecoder(); // leaves a byte order mark out
  const withoutReturn = (line) => (line.endsWith('\r') ? line.slice(0, -1) : line);
  let rest = '';
  for await (const chunk of process.stdin) {
    const parts = (rest + decoder.decode(chunk, { stream: true })).split('\n');
    rest = parts.pop();
    yield* parts.map(withoutReturn);
  }
  rest += decoder.decode();
  if (rest) yield withoutReturn(rest);
}

/** The places that a command line names: arguments, or else lines. */
async function* places(inputs) {
  if (inputs.length) {
    for (const input of inputs) yield { input };
    return;
  }
  let number = 0;
  for await (const input of lines()) yield { input, where: `line ${++number}` };
}

async function* pictures(inputs) {
  for await (const { input, where } of places(inputs)) {
    const item = (record) => ({ record, id: input, where });
    if (input === '') continue;
    if (!(await isFolder(input))) {
      yield { ...item({ input }), source: input };
      continue;
    }
    let found = 0;
    for await (const { input: path, source, error } of picturesBelow(input)) {
      found++;
      const picture = { record: { input: path }, id: path, where };
      if (error) yield { ...picture, error: unreadable(path, error) };
      else yield await opened(picture, source);
    }
    if (!found)
      yield {
        ...item({ input }),
        error: new HalfclipError('input/decode', `${input}: there is no picture in this folder`),
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
  for await (const { input, where } of places(inputs)) {
    const item = { record: { input }, id: input, where };
    if (inputs.length || !(await isName(input))) yield { ...item, source: input };
    else if (first) throw new UsageError(isFileQuestion(input));
    else yield { ...item, error: new HalfclipError('input/type', isFileQuestion(input)) };
    first = false;
  }
}

const isFileQuestion = (input) =>
  `${JSON.stringify(input)} is the name of a file or folder: --tower image embeds the pictures there, --tower text the name as a text`;

/** Lines that are not blank, each with its number. */
async function* numbered() {
  let number = 0;
  for await (const line of lines()) {
    number++;
    if (line.trim() !== '') yield { line, where: `line ${number}` };
  }
}

/** @param {'text' | 'image'} key */
async function* records(key, numbered) {
  const other = { text: 'image', image: 'text' }[key];
  for await (const { line, where } of numbered) {
    const fail = (message, record = {}) => ({
      record,
      id: record.id ?? null,
      where,
      error: new HalfclipError('input/type', message),
    });
    let record;
    try {
      record = JSON.parse(line);
    } catch (error) {
      yield fail(`is not JSON: ${error.message}`);
      continue;
    }
    if (record === null || typeof record !== 'object' || Array.isArray(record)) yield fail('is no JSON object');
    else if (typeof record[key] === 'string' && (key === 'text' || record[key]))
      yield { record, id: record.id ?? record[key], where, source: record[key] };
    else
      yield fail(
        typeof record[other] === 'string' ? `has "${other}", which needs --tower ${other}` : `has no string "${key}"`,
        record,
      );
  }
}

/** The tower that the first of some JSON objects is for, and all of them. */
async function peek(numbered) {
  const first = await numbered.next();
  const all = async function* () {
    if (first.done) return;
    yield first.value;
    yield* numbered;
  };
  return {
    tower:
      !first.done && /"image"\s*:/.test(first.value.line) && !/"text"\s*:/.test(first.value.line) ? 'image' : 'text',
    lines: all(),
  };
}

/**
 * The inputs of a command.
 * @param {string[]} args
 * @param {{ tower?: 'text' | 'image', input?: 'lines' | 'jsonl', certain?: boolean }} options certain: whether texts
 *   may be names of files
 * @returns {Promise<{ tower: 'text' | 'image', items: AsyncGenerator<Item> }>}
 */
export async function readInputs(args, { tower, input, certain }) {
  if (oneOf('input', input, 'lines', 'jsonl') !== 'jsonl') {
    return { tower: tower ?? 'text', items: tower === 'image' ? pictures(args) : texts(args, certain) };
  }
  if (args.length) throw new UsageError(`--input jsonl reads standard input, got ${args[0]}`);
  const found = tower ? { tower, lines: numbered() } : await peek(numbered());
  return { tower: found.tower, items: records(found.tower, found.lines) };
}

/** How many inputs there are, or null if that is not known beforehand. */
export async function countInputs(tower, args) {
  if (!args.length) return null;
  if (tower === 'text') return args.length;
  let count = 0;
  for (const input of args) {
    count += ((await isFolder(input)) && (await countPictures(input))) || 1;
  }
  return count;
}

/** Items of which the first was read already. */
export async function* from(first, items) {
  if (first.done) return;
  yield first.value;
  yield* items;
}
