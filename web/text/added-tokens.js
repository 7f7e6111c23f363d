// Added tokens, as Hugging Face's tokenizers call those that stand beside a vocabulary: they are found in a text before
// anything else is done to it, or once it is normalized.

const WORD = /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]/u;
const MAX_TOKENS = 10_000; // every place of a text is compared with all of them
const SPACE = /\p{White_Space}/u;

export class AddedTokens {
  #byText;
  #pattern;

  /**
   * @param {{ id: number, text: string, word?: boolean, left?: boolean, right?: boolean }[]} tokens word: only where it
   *   is a word of its own; left, right: with the white space beside it
   */
  constructor(tokens) {
    if (tokens.length > MAX_TOKENS) throw new RangeError(`it has more than ${MAX_TOKENS} added tokens`);
    const known = tokens.filter(({ text }) => text);
    this.#byText = new Map(known.map((token) => [token.text, token]));
    const longestFirst = [...this.#byText.keys()].sort((a, b) => b.length - a.length);
    const escaped = longestFirst.map((text) => text.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&'));
    this.#pattern = escaped.length ? new RegExp(escaped.join('|'), 'gu') : null;
  }

  /**
   * A text in pieces, strings and the ids of added tokens between them.
   * @returns {(string | number)[]}
   */
  split(text) {
    if (!this.#pattern) return [text];
    const pieces = [];
    let done = 0;
    for (const { 0: found, index } of text.matchAll(this.#pattern)) {
      const { id, word, left, right } = this.#byText.get(found);
      let begin = index;
      let end = index + found.length;
      if (word && (isWord(characterBefore(text, begin)) || isWord(characterAt(text, end)))) continue;
      while (left && begin > done && SPACE.test(text[begin - 1])) begin--;
      while (right && end < text.length && SPACE.test(text[end])) end++;
      if (begin > done) pieces.push(text.slice(done, begin));
      pieces.push(id);
      done = end;
    }
    if (done < text.length) pieces.push(text.slice(done));
    return pieces;
  }
}

const isWord = (character) => WORD.test(character);
const characterAt = (text, at) => (at < text.length ? String.fromCodePoint(text.codePointAt(at)) : '');
const characterBefore = (text, at) => Array.from(text.slice(Math.max(0, at - 2), at)).at(-1) ?? '';
