// OpenCLIP's HFTokenizer over a tokenizer of Hugging Face's: which cleaning and which tokens around a text a model's
// config asks for, and ids of one length.

import { HalfclipError, messageOf } from '../base/errors.js';
import { Cleaner } from './cleaner.js';
import { unsupported } from './normalizers.js';
import { Pipeline } from './pipeline.js';

/**
 * @param {import('../wasm/instance.js').Wasm} wasm
 * @param {object} textCfg OpenCLIP's text_cfg
 * @param {Uint8Array} bytes in the form of compact.js, of which nothing is kept
 * @param {string} name of the model, for messages
 */
export function createHuggingFaceTokenizer(wasm, textCfg, bytes, name) {
  const { clean = 'whitespace', ...kwargs } = textCfg.tokenizer_kwargs ?? {};
  const cleaner = new Cleaner(wasm, clean, name);
  const { pipeline, complete } = blaming(name, () => {
    const pipeline = new Pipeline(bytes);
    return { pipeline, complete: completing(pipeline, kwargs, textCfg.tokenizer_mode ?? '') };
  });
  const idsOf = (text, length) => blaming(name, () => Int32Array.from(complete(pipeline.encode(text), length)));

  return {
    /** Int32Array(contextLength) of each text. */
    tokenize: (texts, contextLength) => texts.map((text) => idsOf(cleaner.clean(text), contextLength)),
  };
}

/** Does `work`, of which whatever goes wrong is the tokenizer's fault. */
function blaming(name, work) {
  try {
    return work();
  } catch (error) {
    if (error instanceof HalfclipError)
      throw new HalfclipError(error.code, `${name}: ${error.message}`, { cause: error });
    throw new HalfclipError('weights/corrupt', `${name}: its tokenizer is damaged: ${messageOf(error)}`, {
      cause: error,
    });
  }
}

/**
 * How the ids of a text become as many as a tower takes.
 * @param {Pipeline} pipeline
 * @param {object} kwargs tokenizer_kwargs of a config, but for `clean`
 * @param {string} mode tokenizer_mode
 * @returns {(ids: number[], length: number) => number[]}
 */
function completing(pipeline, { strip_sep_token = false, language, ...others }, mode) {
  const [option] = Object.keys(others);
  if (option) throw unsupported('option', option);
  if (mode !== '' && mode !== 'clips') throw unsupported('tokenizer_mode', mode);
  const { special, padLeft } = pipeline.settings;
  const need = (token) => {
    if (special[token] === null) throw new HalfclipError('weights/format', `its tokenizer has no ${token} token`);
    return special[token];
  };
  const pad = need('pad');
  if (mode === 'clips') {
    const [bos, eos, cls] = ['bos', 'eos', 'cls'].map(need);
    return (ids, length) => {
      const kept = [bos, ...ids.slice(0, Math.max(0, length - 3)), eos].slice(0, length - 1);
      return [...kept, ...Array(length - 1 - kept.length).fill(pad), cls];
    };
  }
  const { prefix, suffix } = around(pipeline, language);
  return (ids, length) => {
    const room = Math.max(0, length - prefix.length - suffix.length);
    const kept = [...prefix, ...ids.slice(0, room), ...suffix].slice(0, length);
    const padding = Array(length - kept.length).fill(pad);
    const all = padLeft ? [...padding, ...kept] : [...kept, ...padding];
    return strip_sep_token ? all.map((id) => (id === special.sep ? 0 : id)) : all;
  };
}

/** The ids before and behind a text; of a tokenizer that has languages, those of one of them. */
function around(pipeline, language) {
  const { prefix, suffix, special, language: languages } = pipeline.settings;
  if (!languages) {
    if (language === undefined) return { prefix, suffix };
    throw new HalfclipError(
      'model/unsupported',
      `its tokenizer has no languages, but language is ${JSON.stringify(language)}`,
    );
  }
  const wanted = language ?? languages.default;
  const id = pipeline.idOf(wanted);
  if (id < 0) throw new HalfclipError('model/unsupported', `its tokenizer has no language ${JSON.stringify(wanted)}`);
  return languages.legacy ? { prefix: [], suffix: [special.eos, id] } : { prefix: [id], suffix: [special.eos] };
}
