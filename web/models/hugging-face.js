// The config of a Hugging Face `CLIPModel` or `ChineseCLIPModel` (config.json, and what transformers 4 or 5 writes of its pictures'
// processor) in OpenCLIP's terms. What a config leaves out is as in transformers' CLIPConfig.

import { HalfclipError } from '../base/errors.js';

const TEXT = {
  hidden_size: 512,
  intermediate_size: 2048,
  num_hidden_layers: 12,
  num_attention_heads: 8,
  max_position_embeddings: 77,
  vocab_size: 49408,
  hidden_act: 'quick_gelu',
  layer_norm_eps: 1e-5,
  eos_token_id: 49407,
};
const VISION = {
  hidden_size: 768,
  intermediate_size: 3072,
  num_hidden_layers: 12,
  num_attention_heads: 12,
  image_size: 224,
  patch_size: 32,
  hidden_act: 'quick_gelu',
  layer_norm_eps: 1e-5,
};
const STEPS = ['do_resize', 'do_center_crop', 'do_rescale', 'do_normalize', 'do_convert_rgb'];
const INTERPOLATIONS = { 1: 'lanczos', 2: 'bilinear', 3: 'bicubic' }; // PIL's numbers

/**
 * @param {object} config a config.json
 * @param {{ settings: object, file: string } | null} processor what a preprocessor_config.json or the image_processor
 *   of a processor_config.json says, and where; null for a text tower
 * @param {'image' | 'text' | 'video'} tower decides where the towers differ in what OpenCLIP has one setting for
 * @param {string} name for messages
 * @returns {{ model_cfg: object, preprocess_cfg: object }}
 */
export function translateConfig(config, processor, tower, name) {
  if (config.model_type === 'chinese_clip') return translateChineseClip(config, processor, name);
  const families = {
    clip: [
      { ...TEXT, ...config.text_config, ...config.text_config_dict },
      { ...VISION, ...config.vision_config, ...config.vision_config_dict },
    ],
    clip_text_model: [{ ...TEXT, ...config }, VISION],
    clip_vision_model: [TEXT, { ...VISION, ...config }],
  };
  const sections = Object.hasOwn(families, config.model_type) && families[config.model_type];
  if (!sections) throw unsupported(`${name}: its config.json`, 'model_type', config.model_type, '"clip"');
  const [text, vision] = sections;
  const act = activationOf(tower === 'text' ? text : vision, name);
  // An end-of-text id of 2 stands for an old config that means the highest id, as OpenCLIP takes it.
  const plainEnd = text.eos_token_id === 2 || text.eos_token_id === text.vocab_size - 1;
  const model_cfg = {
    embed_dim: config.projection_dim ?? 512,
    quick_gelu: act === 'quick_gelu',
    vision_cfg: pictureSide(vision, act),
    text_cfg: {
      ...blocks(text, act),
      context_length: text.max_position_embeddings,
      vocab_size: text.vocab_size,
      heads: text.num_attention_heads,
      ...(!plainEnd && { pool_type: 'eos', eos_id: text.eos_token_id }),
    },
  };
  return { model_cfg, preprocess_cfg: processor ? translateProcessor(processor, vision.image_size) : {} };
}

/** Its text side is a BERT, whose first token counts; OFA-Sys trained it on texts of 52 tokens. */
function translateChineseClip(config, processor, name) {
  const vision = { ...VISION, ...config.vision_config };
  const act = activationOf(vision, name);
  const model_cfg = {
    embed_dim: config.projection_dim ?? 512,
    quick_gelu: act === 'quick_gelu',
    vision_cfg: pictureSide(vision, act),
    text_cfg: {
      context_length: Math.min(52, config.text_config?.max_position_embeddings ?? 512),
      hf_tokenizer_name: tokenizerName(name, config),
      hf_config: { ...config.text_config, model_type: 'bert' },
      hf_pooler_type: 'cls_last_hidden_state_pooler',
      hf_proj_type: 'linear',
    },
  };
  return { model_cfg, preprocess_cfg: processor ? translateProcessor(processor, vision.image_size) : {} };
}

/**
 * Where a tokenizer is that does not lie beside the weights: in the repository, or in that which a folder is a copy of.
 * @param {string} name of the repository or the folder
 * @param {object} config its config.json
 */
export function tokenizerName(name, { _name_or_path: original, model_type }) {
  if (name.startsWith('hf-hub:')) return name.slice('hf-hub:'.length);
  return typeof original === 'string' && /^[\w-][\w.-]*(\/[\w-][\w.-]*)?$/.test(original) ? original : model_type;
}

function activationOf({ hidden_act: act }, name) {
  if (['quick_gelu', 'gelu', 'gelu_new', 'gelu_pytorch_tanh'].includes(act)) return act;
  throw unsupported(`${name}: its config.json`, 'hidden_act', act, '"quick_gelu" or "gelu"');
}

/** What both sides of a CLIPModel have. */
const blocks = ({ hidden_size, intermediate_size, num_hidden_layers, layer_norm_eps }, act) => ({
  width: hidden_size,
  layers: num_hidden_layers,
  mlp_ratio: intermediate_size / hidden_size,
  ...(layer_norm_eps !== 1e-5 && { norm_kwargs: { eps: layer_norm_eps } }),
  ...(act.startsWith('gelu_') && { act_kwargs: { approximate: 'tanh' } }),
});

const pictureSide = (vision, act) => ({
  ...blocks(vision, act),
  image_size: vision.image_size,
  patch_size: vision.patch_size,
  head_width: vision.hidden_size / vision.num_attention_heads,
});

/**
 * Defaults are those that CLIPImageProcessor and OpenCLIP have in common; mean and std have none, because every family
 * of models has its own.
 * @param {{ settings: object, file: string }} processor
 * @param {number} imageSize of the tower
 */
function translateProcessor({ settings: written, file }, imageSize) {
  const settings = Object.fromEntries(Object.entries(written).filter(([, value]) => value !== null));
  const {
    image_mean,
    image_std,
    resample = 3,
    size = imageSize,
    crop_size,
    do_normalize = true,
    do_rescale = true,
    rescale_factor = 1 / 255,
  } = settings;
  const wrong = (key, expected) => unsupported(file, key, settings[key], expected);
  const interpolation =
    INTERPOLATIONS[resample] ??
    Object.values(INTERPOLATIONS).find((name) => name === String(resample).toLowerCase().split('.').at(-1));
  if (!interpolation) throw wrong('resample', '1, 2 or 3 (lanczos, bilinear or bicubic)');
  const step = Object.keys(settings).find((key) => /^do_/.test(key) && settings[key] && !STEPS.includes(key));
  if (step) throw wrong(step, 'false: OpenCLIP has no such step');
  if (settings.do_resize === false) throw wrong('do_resize', 'true: OpenCLIP resizes every picture');

  const squash = size?.height !== undefined;
  const sides = squash ? [size.height, size.width] : [size?.shortest_edge ?? size];
  const isImageSize = (side) => side === imageSize;
  const expected = `${imageSize}, the tower's image_size`;
  if (!sides.every(isImageSize) || size?.longest_edge !== undefined) throw wrong('size', expected);
  // OpenCLIP crops what it has resized, to the same size. Of transformers' processors those of SigLIP don't.
  const crops =
    settings.do_center_crop ?? !/siglip/i.test(settings.image_processor_type ?? settings.feature_extractor_type);
  if (!squash && !crops) throw wrong('do_center_crop', 'true, or a size of height and width');
  const cropped = [
    crop_size?.height ?? crop_size?.shortest_edge ?? crop_size,
    crop_size?.width ?? crop_size?.shortest_edge ?? crop_size,
  ];
  if (crops && crop_size !== undefined && !cropped.every(isImageSize)) throw wrong('crop_size', expected);
  return {
    ...normalisation(image_mean, image_std, do_normalize, do_rescale ? rescale_factor : 1, file),
    interpolation,
    resize_mode: squash ? 'squash' : 'shortest',
  };
}

/** Here pixels are divided by 255 before mean and std: another factor, or none, is one of these two. */
function normalisation(mean, std, isNormalised, factor, file) {
  if (!isNormalised)
    [mean, std] = [
      [0, 0, 0],
      [1, 1, 1],
    ];
  for (const [key, value] of Object.entries({ image_mean: mean, image_std: std })) {
    if (value === undefined) {
      throw new HalfclipError(
        'model/unknown',
        `${file} has no ${key}, expected three numbers: without them it is not known what the tower was trained on`,
      );
    }
    if (!([value].flat().length === 3 || typeof value === 'number') || ![value].flat().every(Number.isFinite))
      throw unsupported(file, key, value, 'three numbers');
  }
  if (!(Number.isFinite(factor) && factor > 0)) throw unsupported(file, 'rescale_factor', factor, 'a number above 0');
  const scale = factor * 255;
  const inUnits = (value) =>
    (typeof value === 'number' ? [value, value, value] : value).map((number) =>
      Math.abs(scale - 1) < 1e-6 ? number : number / scale,
    );
  return { mean: inUnits(mean), std: inUnits(std) };
}

const unsupported = (name, key, found, expected) =>
  new HalfclipError('model/unsupported', `${name} has ${key} ${JSON.stringify(found)}, expected ${expected}`);
