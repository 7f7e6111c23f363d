// The normalizers of a tokenizer.json, each a function from a text to another, as Hugging Face's tokenizers compute
// them.

import { encodeText } from '../base/bytes.js';
import { HalfclipError } from '../base/errors.js';
import { CharacterMap } from './character-map.js';
import { CONTROLS, NONSPACING_MARKS } from './unicode-8.js';

const SPACES_AT_START = /^\p{White_Space}+/u;
const SPACES_AT_END = /\p{White_Space}+$/u;
// Chinese characters as BERT understands them: not kana, not hangul.
const CHINESE =
  /[\u4e00-\u9fff\u3400-\u4dbf\u{20000}-\u{2a6df}\u{2a700}-\u{2b73f}\u{2b740}-\u{2b81f}\u{2b920}-\u{2ceaf}\uf900-\ufaff\u{2f800}-\u{2fa1f}]/gu;

// The regular expressions that normalizers of published tokenizers have. No other is run: one that is made to take
// forever would.
const PATTERNS = { ' {2,}': / {2,}/g, '\\s+': /\p{White_Space}+/gu };

/**
 * @param {object | null} settings `normalizer` of a tokenizer.json
 * @param {(index: number) => Uint8Array} map the bytes of a precompiled map of characters, of which `settings` has the
 *   index
 * @returns {(text: string) => string}
 */
export function makeNormalizer(settings, map) {
  if (!settings) return (text) => text;
  const make = Object.hasOwn(NORMALIZERS, settings.type) && NORMALIZERS[settings.type];
  if (!make) throw unsupported('normalizer', settings.type);
  return make(settings, map);
}

export const unsupported = (what, found) =>
  new HalfclipError('model/unsupported', `the tokenizer's ${what} ${JSON.stringify(found)} is not built in`);

// A sequence of steps that each double a text would fill any memory.
const LONGEST = 1 << 25;

function bounded(text) {
  if (text.length > LONGEST) throw new RangeError(`a text has more than ${LONGEST} characters when it is normalized`);
  return text;
}

const NORMALIZERS = {
  Sequence({ normalizers }, map) {
    const steps = normalizers.map((settings) => makeNormalizer(settings, map));
    return (text) => steps.reduce((text, step) => bounded(step(text)), text);
  },

  NFC: () => (text) => text.normalize('NFC'),
  NFD: () => (text) => text.normalize('NFD'),
  NFKC: () => (text) => text.normalize('NFKC'),
  NFKD: () => (text) => text.normalize('NFKD'),

  Lowercase: () => lower,

  StripAccents: () => (text) => text.replace(/\p{M}/gu, ''),

  Strip: ({ strip_left, strip_right }) => {
    return (text) => {
      if (strip_left) text = text.replace(SPACES_AT_START, '');
      return strip_right ? stripEnd(text) : text;
    };
  },

  Prepend:
    ({ prepend }) =>
    (text) =>
      text ? prepend + text : text,

  Replace: ({ pattern, content }) => {
    const { String: literal, Regex: regex } = pattern;
    if (literal !== undefined) return (text) => text.replaceAll(literal, () => content);
    if (!Object.hasOwn(PATTERNS, regex)) throw unsupported('pattern', regex);
    return (text) => text.replace(PATTERNS[regex], () => content);
  },

  BertNormalizer: ({ clean_text, handle_chinese_chars, strip_accents, lowercase }) => {
    const strips = strip_accents ?? lowercase;
    return (text) => {
      if (clean_text) text = text.replace(CONTROLS, '').replace(/\p{White_Space}/gu, ' ');
      if (handle_chinese_chars) text = text.replace(CHINESE, ' $& ');
      if (strips) text = text.normalize('NFD').replace(NONSPACING_MARKS, '');
      return lowercase ? lower(text) : text;
    };
  },

  Precompiled: ({ map: index }, map) => {
    const characters = new CharacterMap(map(index));
    return (text) => mapCharacters(text, characters);
  },
};

/** Each character by itself: a sigma at the end of a word is one like others. */
const lower = (text) =>
  text
    .split('Σ')
    .map((part) => part.toLowerCase())
    .join('σ');

function stripEnd(text) {
  let end = text.length;
  while (end > 0 && SPACES_AT_END.test(text[end - 1])) end--;
  return text.slice(0, end);
}

const SHORT = 6; // bytes of UTF-8
const isShort = (text) => text.length === 1 || (text.length < SHORT && encodeText(text).length < SHORT);
const MAY_JOIN = /[\r\u0300-\u{10ffff}]/u; // below these every character stands for itself

/**
 * Replaces graphemes of up to five bytes, or else the characters of a grapheme, each alone.
 * @param {string} text
 * @param {CharacterMap} characters
 */
function mapCharacters(text, characters) {
  const parts = MAY_JOIN.test(text) ? graphemes(text) : text;
  let mapped = '';
  for (const grapheme of parts) {
    const whole = isShort(grapheme) ? characters.replacement(grapheme) : null;
    if (whole !== null) mapped += whole;
    else for (const character of grapheme) mapped += characters.replacement(character) ?? character;
  }
  return mapped;
}

let segmenter = null;

function* graphemes(text) {
  if (typeof Intl === 'undefined' || !Intl.Segmenter)
    throw new HalfclipError('model/unsupported', 'this engine has no Intl.Segmenter, which this tokenizer needs');
  segmenter ??= new Intl.Segmenter('en', { granularity: 'grapheme' });
  for (const { segment } of segmenter.segment(text)) yield segment;
}
