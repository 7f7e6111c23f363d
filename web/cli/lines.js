// The lines of standard input, one after the other and never all at once.

import { HalfclipError } from '../node/index.js';

/** Characters of the longest line: one with a picture of 100 MB in it, which is the most that a picture's file may have. */
const LONGEST_LINE = 2 ** 27;

/**
 * The lines of standard input, empty ones too: line n of the output is of line n. What follows the last line's end is no
 * line. A line that is too long is dropped as it comes.
 * @returns {AsyncGenerator<{ line?: string, error?: HalfclipError, where: string }>}
 */
export async function* readLines() {
  const decoder = new TextDecoder(); // leaves a byte order mark out
  let number = 0;
  let parts = []; // of a line that is not whole yet: put together once, however many chunks it has
  let length = 0;

  const add = (part) => {
    length += part.length;
    if (length <= LONGEST_LINE) parts.push(part);
    else parts = [];
  };
  const finish = () => {
    const where = `line ${++number}`;
    const line = parts.join('');
    const found = length;
    parts = [];
    length = 0;
    if (found > LONGEST_LINE)
      return {
        where,
        error: new HalfclipError('input/size', `has ${found} characters, expected at most ${LONGEST_LINE}`),
      };
    return { where, line: line.endsWith('\r') ? line.slice(0, -1) : line };
  };

  for await (const chunk of process.stdin) {
    const [first, ...others] = decoder.decode(chunk, { stream: true }).split('\n');
    add(first);
    for (const part of others) {
      yield finish();
      add(part);
    }
  }
  add(decoder.decode());
  if (length) yield finish();
}
