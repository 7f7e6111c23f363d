// The config of a BERT alone (config.json of Hugging Face's BertModel, RobertaModel or XLMRobertaModel, and what
// sentence-transformers writes of its pooling) in OpenCLIP's terms: an encoder of sentences.

import { HalfclipError } from '../base/errors.js';
import { tokenizerName } from './hugging-face.js';

/** What a model_type's tower counts its positions from, and where its config is silent. */
const FIRST_POSITION = { bert: () => 0, roberta: paddingOf, 'xlm-roberta': paddingOf };

function paddingOf({ pad_token_id = 1 }) {
  return pad_token_id + 1;
}

// Of sentence-transformers' 1_Pooling/config.json.
const POOLERS = {
  pooling_mode_mean_tokens: 'mean_pooler',
  pooling_mode_cls_token: 'cls_last_hidden_state_pooler',
  pooling_mode_max_tokens: 'max_pooler',
};

/** What a repository has beside config.json, and what translateSentenceEncoder gets of it. */
export const SENTENCE_FILES = {
  pooling: '1_Pooling/config.json',
  length: 'sentence_bert_config.json',
  modules: 'modules.json',
};

export const isSentenceEncoder = (config) => Object.hasOwn(FIRST_POSITION, config.model_type);

/**
 * @param {object} config a config.json for which isSentenceEncoder holds
 * @param {{ pooling?: object | null, length?: object | null, modules?: object | null }} beside the files of
 *   SENTENCE_FILES that there are; without them the mean of all tokens is taken, of as many as there are positions for
 * @param {string} name of the repository or the folder
 * @returns {{ model_cfg: object, preprocess_cfg: object }}
 */
export function translateSentenceEncoder(config, { pooling, length, modules }, name) {
  const { hidden_size = 768, max_position_embeddings = 512 } = config;
  const modes = Object.keys(pooling ?? {}).filter((key) => key.startsWith('pooling_mode_') && pooling[key]);
  const pooler = pooling ? modes.length === 1 && Object.hasOwn(POOLERS, modes[0]) && POOLERS[modes[0]] : 'mean_pooler';
  if (!pooler) throw unsupported(name, SENTENCE_FILES.pooling, modes, `one of ${Object.keys(POOLERS).join(', ')}`);
  const others = Object.values(modules ?? {})
    .map(({ type }) => String(type).split('.').at(-1))
    .filter((type) => !['Transformer', 'Pooling', 'Normalize'].includes(type));
  if (others.length) throw unsupported(name, SENTENCE_FILES.modules, others, 'Transformer, Pooling and Normalize');
  const most = max_position_embeddings - FIRST_POSITION[config.model_type](config);
  return {
    model_cfg: {
      embed_dim: hidden_size,
      text_cfg: {
        context_length: Math.min(length?.max_seq_length ?? most, most),
        hf_tokenizer_name: tokenizerName(name, config),
        hf_config: config,
        hf_pooler_type: pooler,
        hf_proj_type: null,
      },
    },
    preprocess_cfg: {},
  };
}

const unsupported = (name, file, found, expected) =>
  new HalfclipError('model/unsupported', `${name}: its ${file} has ${JSON.stringify(found)}, expected ${expected}`);
