// The pre-tokenizers of a tokenizer.json, each a function from pieces of a text to smaller ones, as Hugging Face's
// tokenizers cut them.

import { encodeText } from '../base/bytes.js';
import { unsupported } from './normalizers.js';
import { PUNCTUATION } from './unicode-8.js';

const SPACES = /\p{White_Space}+/u;
const WORDS =
  /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]+|[^\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}\p{White_Space}]+/gu;
const GPT2 =
  /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+/gu;

/**
 * @param {object | null} settings `pre_tokenizer` of a tokenizer.json
 * @returns {(pieces: string[], isFirst: boolean) => string[]} isFirst: whether the text begins with them
 */
export function makePreTokenizer(settings) {
  if (!settings) return (pieces) => pieces;
  const make = Object.hasOwn(PRE_TOKENIZERS, settings.type) && PRE_TOKENIZERS[settings.type];
  if (!make) throw unsupported('pre-tokenizer', settings.type);
  return make(settings);
}

/** A pre-tokenizer that cuts each piece for itself. */
const each = (cut) => (pieces, isFirst) =>
  pieces.flatMap((piece, i) => cut(piece, isFirst && i === 0)).filter((piece) => piece !== '');

const PRE_TOKENIZERS = {
  Sequence({ pretokenizers }) {
    const steps = pretokenizers.map(makePreTokenizer);
    return (pieces, isFirst) => steps.reduce((pieces, step) => step(pieces, isFirst), pieces);
  },

  WhitespaceSplit: () => each((piece) => piece.split(SPACES)),

  Whitespace: () => each((piece) => piece.match(WORDS) ?? []),

  BertPreTokenizer: () => each((piece) => piece.split(SPACES).flatMap((word) => word.split(PUNCTUATION))),

  Metaspace({ replacement, prepend_scheme, add_prefix_space, split = true }) {
    if (!replacement) throw unsupported('replacement', replacement);
    const scheme = prepend_scheme ?? (add_prefix_space === false ? 'never' : 'always');
    return each((piece, isFirst) => {
      if (!piece) return [];
      let text = piece.replaceAll(' ', replacement);
      if (!text.startsWith(replacement) && (scheme === 'always' || (scheme === 'first' && isFirst)))
        text = replacement + text;
      return split ? before(text, replacement) : [text];
    });
  },

  ByteLevel({ add_prefix_space, use_regex = true }) {
    return each((piece) => {
      if (!piece) return [];
      const text = add_prefix_space && !piece.startsWith(' ') ? ` ${piece}` : piece;
      return (use_regex ? text.match(GPT2) : [text]).map(byteCharacters);
    });
  },

  Split({ pattern, behavior, invert }) {
    const { String: literal, Regex: regex } = pattern;
    if (literal === undefined || !literal || invert) throw unsupported('pattern', invert ? 'inverted' : regex);
    const cut = Object.hasOwn(SPLITS, behavior) && SPLITS[behavior];
    if (!cut) throw unsupported('behaviour of Split', behavior);
    return each((piece) => cut(piece, literal));
  },
};

/** A text in pieces that begin with `mark`, but for the first. */
function before(text, mark) {
  const pieces = [];
  let begin = 0;
  for (let at = text.indexOf(mark, mark.length); at >= 0; at = text.indexOf(mark, at + mark.length)) {
    pieces.push(text.slice(begin, at));
    begin = at;
  }
  pieces.push(text.slice(begin));
  return pieces;
}

const SPLITS = {
  Removed: (text, mark) => text.split(mark),
  Isolated: (text, mark) => text.split(mark).flatMap((piece, i) => (i ? [mark, piece] : [piece])),
  MergedWithNext: (text, mark) => text.split(mark).map((piece, i) => (i ? mark + piece : piece)),
  MergedWithPrevious: (text, mark) => {
    const pieces = text.split(mark);
    return pieces.map((piece, i) => (i + 1 < pieces.length ? piece + mark : piece));
  },
};

/** GPT-2's characters for bytes: printable ones stand for themselves, the others are those from U+0100 on. */
const BYTE_CHARACTERS = (() => {
  const isPrintable = (byte) => (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte !== 0xad);
  let others = 0x100;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(isPrintable(byte) ? byte : others++));
})();

const byteCharacters = (text) => Array.from(encodeText(text), (byte) => BYTE_CHARACTERS[byte]).join('');
