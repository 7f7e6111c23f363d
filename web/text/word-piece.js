// WordPiece (Schuster and Nakajima, "Japanese and Korean voice search", 2012), as BERT uses it: the longest token that
// a word begins with, again and again; a word that does not end so is unknown as a whole.

export class WordPiece {
  #tokens;
  #settings;

  /**
   * @param {import('./token-table.js').TokenTable} tokens
   * @param {{ unknown: number, prefix: string, longest: number }} settings prefix: of tokens within a word; longest: in
   *   characters, above which a word is unknown
   */
  constructor(tokens, settings) {
    this.#tokens = tokens;
    this.#settings = settings;
  }

  /** Pushes the ids of a word. */
  encode(word, out) {
    const { unknown, prefix, longest } = this.#settings;
    const first = out.length;
    const isTooLong = word.length > longest && Array.from(word).length > longest;
    for (let at = 0; at < word.length;) {
      const text = at ? prefix + word.slice(at) : word;
      const shift = at ? at - prefix.length : 0;
      let end = Math.min(text.length, this.#tokens.longest);
      let id = -1;
      for (; !isTooLong && shift + end > at; end--) if ((id = this.#tokens.find(text, 0, end)) >= 0) break;
      if (id < 0) {
        out.length = first;
        out.push(unknown);
        return;
      }
      out.push(id);
      at = shift + end;
    }
  }
}
