// From Hugging Face's tokenizer.json, and the tokenizer_config.json beside it, to the form of compact.js.

import { concatenate, encodeText } from '../base/bytes.js';
import { HalfclipError } from '../base/errors.js';
import { NumberWriter, pack } from './compact.js';
import { unsupported } from './normalizers.js';

/**
 * @param {object} json a parsed tokenizer.json
 * @param {object} [config] a parsed tokenizer_config.json
 * @returns {Uint8Array}
 */
export function compactTokenizer(json, config = {}) {
  const maps = [];
  const normalizer = withoutMaps(json.normalizer ?? null, maps);
  const type = json.model?.type ?? typeOf(json.model);
  const make = Object.hasOwn(MODELS, type) && MODELS[type];
  if (!make) throw unsupported('model', type);
  const { tokens, model, sections } = make(json.model);
  const added = json.added_tokens ?? [];
  const ids = new Map(added.map(({ content, id }) => [content, id]));
  const idOf = (token) => ids.get(token) ?? tokens.ids.get(token);
  const settings = {
    normalizer,
    pre_tokenizer: json.pre_tokenizer ?? null,
    model,
    added: added.map(({ id, content, single_word, lstrip, rstrip, normalized }) => ({
      id,
      text: content,
      ...(single_word && { word: true }),
      ...(lstrip && { left: true }),
      ...(rstrip && { right: true }),
      ...(normalized && { normalized: true }),
    })),
    ...specialTokens(json, config, idOf),
    maps: maps.map(({ length }) => length),
  };
  return pack(settings, {
    tokens: encodeText(tokens.text),
    lengths: tokens.lengths,
    ...sections,
    maps: concatenate(maps),
  });
}

/** Files of before 2021 do not name it. */
const typeOf = (model) => (model?.merges ? 'BPE' : Array.isArray(model?.vocab) ? 'Unigram' : 'WordPiece');

/** A normalizer with the bytes of its maps of characters put aside. */
function withoutMaps(normalizer, maps) {
  if (normalizer?.type === 'Sequence')
    return { ...normalizer, normalizers: normalizer.normalizers.map((each) => withoutMaps(each, maps)) };
  if (normalizer?.type !== 'Precompiled') return normalizer;
  maps.push(Uint8Array.from(atob(normalizer.precompiled_charsmap), (character) => character.charCodeAt(0)));
  return { type: 'Precompiled', map: maps.length - 1 };
}

/** What compact.js has of tokens, given by their ids; and a Map from text to id. */
function writeTokens(texts) {
  const lengths = new NumberWriter();
  const ids = new Map();
  for (let id = 0; id < texts.length; id++) {
    const text = texts[id] ?? '';
    lengths.put(text.length);
    if (text) ids.set(text, id);
  }
  return { ids, text: Array.from(texts, (text) => text ?? '').join(''), lengths: lengths.bytes };
}

/** Tokens by their ids. */
function byId(vocab) {
  const texts = [];
  const limit = 1 << 22;
  for (const [text, id] of Object.entries(vocab)) {
    if (!(Number.isInteger(id) && id >= 0 && id < limit))
      throw new HalfclipError(
        'weights/format',
        `token ${JSON.stringify(text)} has id ${id}, expected 0 to ${limit - 1}`,
      );
    texts[id] = text;
  }
  return texts;
}

const MODELS = {
  BPE({ vocab, merges, unk_token, fuse_unk, byte_fallback, ignore_merges, dropout, ...affixes }) {
    for (const affix of ['continuing_subword_prefix', 'end_of_word_suffix'])
      if (affixes[affix]) throw unsupported(affix, affixes[affix]);
    if (dropout) throw unsupported('dropout', dropout);
    const tokens = writeTokens(byId(vocab));
    const writer = new NumberWriter();
    let before = 0;
    for (const merge of merges) {
      const cut = typeof merge === 'string' ? merge.indexOf(' ') : merge[0].length;
      const made = tokens.ids.get(
        typeof merge === 'string' ? merge.slice(0, cut) + merge.slice(cut + 1) : merge[0] + merge[1],
      );
      if (made === undefined)
        throw new HalfclipError('weights/format', `merge ${JSON.stringify(merge)} makes no token of the vocabulary`);
      writer.putSigned(made - before);
      writer.put(cut);
      before = made;
    }
    const model = {
      type: 'BPE',
      unknown: tokens.ids.get(unk_token) ?? -1,
      fuse: Boolean(fuse_unk),
      byteFallback: Boolean(byte_fallback),
      whole: Boolean(ignore_merges),
    };
    return { tokens, model, sections: { merges: writer.bytes } };
  },

  Unigram({ vocab, unk_id, byte_fallback }) {
    const scores = Float64Array.from(vocab, ([, score]) => score);
    const doubles = scores.some((score) => Math.fround(score) !== score);
    return {
      tokens: writeTokens(vocab.map(([text]) => text)),
      model: { type: 'Unigram', unknown: unk_id ?? -1, byteFallback: Boolean(byte_fallback), doubles },
      sections: { scores: new Uint8Array((doubles ? scores : Float32Array.from(scores)).buffer) },
    };
  },

  WordPiece({ vocab, unk_token, continuing_subword_prefix, max_input_chars_per_word }) {
    const tokens = writeTokens(byId(vocab));
    const model = {
      type: 'WordPiece',
      unknown: tokens.ids.get(unk_token) ?? -1,
      prefix: continuing_subword_prefix ?? '##',
      longest: max_input_chars_per_word ?? 100,
    };
    return { tokens, model, sections: {} };
  },
};

// What special tokens are called where no tokenizer_config.json says it.
const USUAL = {
  pad: ['<pad>', '[PAD]'],
  bos: ['<s>', '<bos>'],
  eos: ['</s>', '<eos>'],
  sep: ['[SEP]', '</s>'],
  cls: ['[CLS]', '<s>'],
};

/** Ids of special tokens, which of them stand around a text, and on which side it is padded. */
function specialTokens(json, config, idOf) {
  const idOfSpecial = (name) => {
    const named = config[`${name}_token`];
    const token = named?.content ?? named ?? (name === 'pad' ? json.padding?.pad_token : undefined);
    const known = token === undefined ? USUAL[name].find((usual) => idOf(usual) !== undefined) : token;
    return idOf(known) ?? null;
  };
  const special = Object.fromEntries(Object.keys(USUAL).map((name) => [name, idOfSpecial(name)]));
  const kind = config.tokenizer_class ?? '';
  const side =
    config.padding_side ?? json.padding?.direction?.toLowerCase() ?? (/^Gemma/.test(kind) ? 'left' : 'right');
  const { prefix, suffix } = around(json.post_processor ?? null, idOf);
  const language = /^Nllb/.test(kind)
    ? { default: config.src_lang ?? 'eng_Latn', legacy: Boolean(config.legacy_behaviour) }
    : null;
  return { special, padLeft: side === 'left', prefix, suffix, language };
}

/** The ids that a post-processor puts before and behind a text. */
function around(processor, idOf) {
  if (!processor) return { prefix: [], suffix: [] };
  switch (processor.type) {
    case 'ByteLevel':
      return { prefix: [], suffix: [] };
    case 'BertProcessing':
    case 'RobertaProcessing':
      return { prefix: [processor.cls[1]], suffix: [processor.sep[1]] };
    case 'TemplateProcessing': {
      const sequence = processor.single.findIndex((part) => part.Sequence);
      const idsOf = (parts) =>
        parts.flatMap(({ SpecialToken: { id } }) => processor.special_tokens[id]?.ids ?? idOf(id));
      return {
        prefix: idsOf(processor.single.slice(0, sequence)),
        suffix: idsOf(processor.single.slice(sequence + 1)),
      };
    }
    case 'Sequence': {
      const all = processor.processors.map((each) => around(each, idOf));
      return {
        prefix: [...all].reverse().flatMap(({ prefix }) => prefix),
        suffix: all.flatMap(({ suffix }) => suffix),
      };
    }
    default:
      throw unsupported('post-processor', processor.type);
  }
}
