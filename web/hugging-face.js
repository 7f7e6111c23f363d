// The config of a Hugging Face `CLIPModel` (config.json, preprocessor_config.json) in OpenCLIP's terms. What it leaves out is as in transformers' CLIPConfig.

import { HalfclipError } from './errors.js';

const TEXT = {
  hidden_size: 512, intermediate_size: 2048, num_hidden_layers: 12, num_attention_heads: 8, max_position_embeddings: 77, vocab_size: 49408,
  hidden_act: 'quick_gelu', layer_norm_eps: 1e-5, eos_token_id: 49407,
};
const VISION = {
  hidden_size: 768, intermediate_size: 3072, num_hidden_layers: 12, num_attention_heads: 12, image_size: 224, patch_size: 32,
  hidden_act: 'quick_gelu', layer_norm_eps: 1e-5,
};
const INTERPOLATIONS = { 1: 'lanczos', 2: 'bilinear', 3: 'bicubic' }; // PIL's numbers

/**
 * @param {object} config a config.json
 * @param {object | null} preprocessor a preprocessor_config.json
 * @param {'image' | 'text'} tower decides where the towers differ in what OpenCLIP has one setting for
 * @param {string} name for messages
 * @returns {{ model_cfg: object, preprocess_cfg: object }}
 */
export function translateConfig(config, preprocessor, tower, name) {
  const sections = {
    clip: [{ ...TEXT, ...config.text_config, ...config.text_config_dict }, { ...VISION, ...config.vision_config, ...config.vision_config_dict }],
    clip_text_model: [{ ...TEXT, ...config }, VISION],
    clip_vision_model: [TEXT, { ...VISION, ...config }],
  }[config.model_type];
  if (!sections) throw unsupported(name, 'model_type', config.model_type, '"clip"');
  const [text, vision] = sections;
  const { hidden_act: act } = tower === 'text' ? text : vision;
  if (!['quick_gelu', 'gelu', 'gelu_new', 'gelu_pytorch_tanh'].includes(act)) throw unsupported(name, 'hidden_act', act, '"quick_gelu" or "gelu"');
  const common = ({ hidden_size, intermediate_size, num_hidden_layers, layer_norm_eps }) => ({
    width: hidden_size,
    layers: num_hidden_layers,
    mlp_ratio: intermediate_size / hidden_size,
    ...(layer_norm_eps !== 1e-5 && { norm_kwargs: { eps: layer_norm_eps } }),
    ...(act.startsWith('gelu_') && { act_kwargs: { approximate: 'tanh' } }),
  });
  // An end-of-text id of 2 stands for an old config that means the highest id, as OpenCLIP takes it.
  const plainEnd = text.eos_token_id === 2 || text.eos_token_id === text.vocab_size - 1;
  const model_cfg = {
    embed_dim: config.projection_dim ?? 512,
    quick_gelu: act === 'quick_gelu',
    vision_cfg: {
      ...common(vision),
      image_size: vision.image_size,
      patch_size: vision.patch_size,
      head_width: vision.hidden_size / vision.num_attention_heads,
    },
    text_cfg: {
      ...common(text),
      context_length: text.max_position_embeddings,
      vocab_size: text.vocab_size,
      heads: text.num_attention_heads,
      ...(!plainEnd && { pool_type: 'eos', eos_id: text.eos_token_id }),
    },
  };
  return { model_cfg, preprocess_cfg: preprocessor ? translatePreprocessor(preprocessor, vision.image_size, name) : {} };
}

function translatePreprocessor({ image_mean, image_std, resample = 3, size = 224, crop_size = size, do_center_crop = true }, imageSize, name) {
  const interpolation = INTERPOLATIONS[resample];
  if (!interpolation) throw unsupported(name, 'resample', resample, '1, 2 or 3');
  const squash = size.height !== undefined && !do_center_crop;
  const shortest = typeof size === 'number' ? size : size.shortest_edge ?? size.height;
  const crop = typeof crop_size === 'number' ? crop_size : crop_size.height ?? crop_size.shortest_edge;
  // OpenCLIP crops what it has resized to the same size.
  if (shortest !== imageSize || (!squash && crop !== imageSize)) throw unsupported(name, 'size', size, `${imageSize}, the tower's image_size, and the same crop_size`);
  return {
    ...(image_mean && { mean: image_mean }),
    ...(image_std && { std: image_std }),
    interpolation,
    resize_mode: squash ? 'squash' : 'shortest',
  };
}

const unsupported = (name, key, found, expected) =>
  new HalfclipError('model/unsupported', `${name}: its config has ${key} ${JSON.stringify(found)}, expected ${expected}`);
