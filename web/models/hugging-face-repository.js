// What a repository of a model of transformers says, which has no open_clip_config.json, in OpenCLIP's terms. This is a
// module that few pages need: who imports it finds readRepository in `imported`.

import { HalfclipError } from '../base/errors.js';
import { imported } from '../base/platform.js';
import { translateConfig } from './hugging-face.js';
import { SENTENCE_FILES, isSentenceEncoder, translateSentenceEncoder } from './sentence-encoder.js';

// As transformers 5 and 4 write them.
const [PROCESSOR, PREPROCESSOR] = ['processor_config.json', 'preprocessor_config.json'];
const WEIGHTS = [
  'model.safetensors',
  'model.safetensors.index.json',
  'pytorch_model.bin',
  'pytorch_model.bin.index.json',
];

/**
 * @param {object} config its config.json
 * @param {'image' | 'text' | 'video'} tower
 * @param {string} name how messages call it
 * @param {(file: string) => Promise<object | null>} read a JSON file of it, null if there is none
 * @returns {Promise<{ config: object, files: string[] }>} config: as an open_clip_config.json; files: where weights may
 *   be, in order of preference
 */
imported.readRepository = async (config, tower, name, read) => {
  if (tower === 'text' && isSentenceEncoder(config)) {
    const beside = {};
    for (const [what, file] of Object.entries(SENTENCE_FILES)) beside[what] = await read(file);
    return { config: translateSentenceEncoder(config, beside, name), files: WEIGHTS };
  }
  const processor = tower !== 'text' ? await readProcessor(name, read) : null;
  return { config: translateConfig(config, processor, tower, name), files: WEIGHTS };
};

/**
 * How pictures become pixels, and the file that says it. As in transformers, what a processor_config.json holds counts
 * first.
 */
async function readProcessor(name, read) {
  const { image_processor: nested } = (await read(PROCESSOR)) ?? {};
  if (nested && typeof nested === 'object')
    return { settings: nested, file: `${name}: image_processor of its ${PROCESSOR}` };
  const settings = await read(PREPROCESSOR);
  if (settings) return { settings, file: `${name}: its ${PREPROCESSOR}` };
  throw new HalfclipError(
    'model/unknown',
    `${name} has neither a ${PROCESSOR} with image_processor nor a ${PREPROCESSOR}, one of which says how pictures become ` +
      'pixels: add one, or give the option model a parsed config with model_cfg and preprocess_cfg',
  );
}
