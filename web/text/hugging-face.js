// OpenCLIP's HFTokenizer over a tokenizer of Hugging Face's: which cleaning and which tokens around a text a model's
// config asks for, and ids of one length.

import { HalfclipError, messageOf } from '../base/errors.js';
import { Cleaner } from './cleaner.js';
import { Pipeline } from './pipeline.js';

/**
 * @param {import('../wasm/instance.js').Wasm} wasm
 * @param {object} textCfg OpenCLIP's text_cfg
 * @param {Uint8Array} bytes in the form of compact.js, of which nothing is kept
 * @param {string} name of the model, for messages
 */
export function createHuggingFaceTokenizer(wasm, textCfg, bytes, name) {
  const { clean = 'whitespace', strip_sep_token = false, language, ...others } = textCfg.tokenizer_kwargs ?? {};
  const [option] = Object.keys(others);
  const unsupported = (what) =>
    new HalfclipError('model/unsupported', `${name}: its tokenizer with ${what} is not built in`);
  if (option) throw unsupported(`${option} ${JSON.stringify(others[option])}`);
  const mode = textCfg.tokenizer_mode ?? '';
  if (mode !== '' && mode !== 'clips') throw unsupported(`tokenizer_mode ${JSON.stringify(mode)}`);
  const pipeline = open(bytes, name);
  const { special, padLeft, ...settings } = pipeline.settings;
  const { prefix, suffix } = around(pipeline, settings, language, name);
  const need = (token) => {
    if (special[token] === null)
      throw new HalfclipError('weights/format', `${name}: its tokenizer has no ${token} token`);
    return special[token];
  };
  const pad = need('pad');
  const cleaner = new Cleaner(wasm, clean, name);
  const assemble =
    mode === 'clips'
      ? (ids, length) => {
          const kept = [need('bos'), ...ids.slice(0, Math.max(0, length - 3)), need('eos')].slice(0, length - 1);
          return [...kept, ...Array(length - 1 - kept.length).fill(pad), need('cls')];
        }
      : (ids, length) => {
          const room = Math.max(0, length - prefix.length - suffix.length);
          const kept = [...prefix, ...ids.slice(0, room), ...suffix].slice(0, length);
          const padding = Array(length - kept.length).fill(pad);
          const all = padLeft ? [...padding, ...kept] : [...kept, ...padding];
          return strip_sep_token ? all.map((id) => (id === special.sep ? 0 : id)) : all;
        };

  return {
    /** Int32Array(contextLength) of each text. */
    tokenize: (texts, contextLength) =>
      texts.map((text) => Int32Array.from(assemble(pipeline.encode(cleaner.clean(text)), contextLength))),
  };
}

/** Whatever is wrong with the bytes is the file's fault. */
function open(bytes, name) {
  try {
    return new Pipeline(bytes);
  } catch (error) {
    if (error instanceof HalfclipError)
      throw new HalfclipError(error.code, `${name}: ${error.message}`, { cause: error });
    throw new HalfclipError('weights/corrupt', `${name}: its tokenizer is damaged: ${messageOf(error)}`, {
      cause: error,
    });
  }
}

/** The ids before and behind a text; of a tokenizer that has languages, those of one of them. */
function around(pipeline, { prefix, suffix, language: languages }, language, name) {
  if (!languages) {
    if (language !== undefined)
      throw new HalfclipError(
        'model/unsupported',
        `${name}: its tokenizer has no languages, but language is ${JSON.stringify(language)}`,
      );
    return { prefix, suffix };
  }
  const wanted = language ?? languages.default;
  const id = pipeline.idOf(wanted);
  if (id < 0)
    throw new HalfclipError('model/unsupported', `${name}: its tokenizer has no language ${JSON.stringify(wanted)}`);
  const end = pipeline.settings.special.eos;
  return languages.legacy ? { prefix: [], suffix: [end, id] } : { prefix: [id], suffix: [end] };
}
