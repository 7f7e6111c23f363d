// Encoders of sentences: a BERT alone, from a config of one's own and from a repository as sentence-transformers writes
// it; and Chinese-CLIP, whose text side is a BERT, from its repository.

import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';

import { HalfclipError, loadImageEncoder, loadTextEncoder } from '../../dist/index.js';
import { cosine, golden, rows } from './support.mjs';

const bert = golden('bert-bare');
const chinese = golden('chinese-clip');
const { hf_config, context_length } = bert.config.model_cfg.text_cfg;

// WordPiece of as many words as the golden tower has tokens.
const words = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', ...Array.from({ length: 92 }, (_, i) => `w${i}`)];
const tokenizer = {
  added_tokens: words.slice(0, 4).map((content, id) => ({ id, content, special: true, normalized: false })),
  normalizer: {
    type: 'BertNormalizer',
    clean_text: true,
    handle_chinese_chars: true,
    strip_accents: null,
    lowercase: true,
  },
  pre_tokenizer: { type: 'BertPreTokenizer' },
  post_processor: {
    type: 'TemplateProcessing',
    single: [
      { SpecialToken: { id: '[CLS]', type_id: 0 } },
      { Sequence: { id: 'A', type_id: 0 } },
      { SpecialToken: { id: '[SEP]', type_id: 0 } },
    ],
    pair: [],
    special_tokens: {
      '[CLS]': { id: '[CLS]', ids: [2], tokens: ['[CLS]'] },
      '[SEP]': { id: '[SEP]', ids: [3], tokens: ['[SEP]'] },
    },
  },
  decoder: { type: 'WordPiece', prefix: '##', cleanup: true },
  model: {
    type: 'WordPiece',
    unk_token: '[UNK]',
    continuing_subword_prefix: '##',
    max_input_chars_per_word: 100,
    vocab: Object.fromEntries(words.map((word, id) => [word, id])),
  },
};
const tokenizerConfig = {
  tokenizer_class: 'BertTokenizer',
  pad_token: '[PAD]',
  cls_token: '[CLS]',
  sep_token: '[SEP]',
  unk_token: '[UNK]',
};

let folder;
before(() => (folder = mkdtempSync(path.join(tmpdir(), 'halfclip-'))));
after(() => rmSync(folder, { recursive: true }));

/** A repository as a folder, and its name. */
function repository(name, weights, files) {
  const place = path.join(folder, name);
  rmSync(place, { recursive: true, force: true });
  mkdirSync(path.join(place, '1_Pooling'), { recursive: true });
  copyFileSync(weights.path, path.join(place, 'model.safetensors'));
  for (const [file, content] of Object.entries({
    'tokenizer.json': tokenizer,
    'tokenizer_config.json': tokenizerConfig,
    ...files,
  }))
    writeFileSync(path.join(place, file), JSON.stringify(content));
  return `local-dir:${place}`;
}

async function agrees(encoder, data) {
  const { tokens, text_features } = data.expected;
  const vectors = await encoder.embedTokens(rows(tokens), { normalize: false });
  rows(text_features).forEach((expected, i) => assert.ok(cosine(vectors[i], expected) > 0.99999, `text ${i}`));
}

test('a BERT alone, by a config of its sizes', async () => {
  const model = {
    embed_dim: hf_config.hidden_size,
    text_cfg: {
      context_length,
      hf_tokenizer_name: 'bert-base-uncased',
      hf_config,
      hf_pooler_type: 'mean_pooler',
      hf_proj_type: null,
    },
  };
  const encoder = await loadTextEncoder({ model, weights: bert.path, tokenizer, dtype: 'fp32' });
  await agrees(encoder, bert);
  assert.deepEqual([...(await encoder.tokenize('w3 W91 other'))].slice(0, 6), [2, 7, 95, 1, 3, 0]);
  const [short, same] = await encoder.embed(['w3 w7', ' W3  w7 ']);
  assert.deepEqual(short, same);
  encoder.dispose();
});

test('a repository of sentence-transformers', async () => {
  const model = repository('sentences', bert, {
    'config.json': hf_config,
    'sentence_bert_config.json': { max_seq_length: context_length, do_lower_case: false },
    '1_Pooling/config.json': {
      word_embedding_dimension: hf_config.hidden_size,
      pooling_mode_mean_tokens: true,
      pooling_mode_cls_token: false,
    },
    'modules.json': [
      { type: 'sentence_transformers.models.Transformer' },
      { type: 'sentence_transformers.models.Pooling' },
      { type: 'sentence_transformers.models.Normalize' },
    ],
  });
  const encoder = await loadTextEncoder({ model, dtype: 'fp32' });
  assert.equal(encoder.info.dim, hf_config.hidden_size);
  assert.equal(encoder.info.contextLength, context_length);
  await agrees(encoder, bert);
  const [vector] = await encoder.embed(['w1 w2 w3']);
  assert.ok(Math.abs(cosine(vector, vector) - 1) < 1e-6);
  encoder.dispose();
});

test('without the files of sentence-transformers: the mean of as many tokens as there are positions for', async () => {
  const encoder = await loadTextEncoder({
    model: repository('bare', bert, { 'config.json': hf_config }),
    dtype: 'fp32',
  });
  assert.equal(encoder.info.contextLength, hf_config.max_position_embeddings);
  encoder.dispose();
});

for (const [what, files] of Object.entries({
  'several poolings at once': {
    '1_Pooling/config.json': { pooling_mode_mean_tokens: true, pooling_mode_max_tokens: true },
  },
  'a pooling that is not computed': { '1_Pooling/config.json': { pooling_mode_lasttoken: true } },
  'a layer behind the pooling': { 'modules.json': [{ type: 'sentence_transformers.models.Dense' }] },
}))
  test(`what is not computed is said: ${what}`, async () => {
    const model = repository('other', bert, { 'config.json': hf_config, ...files });
    await assert.rejects(
      loadTextEncoder({ model }),
      (error) =>
        error instanceof HalfclipError &&
        error.code === 'model/unsupported' &&
        error.message.includes(Object.keys(files)[0]),
    );
  });

test('a repository of Chinese-CLIP', async () => {
  const { embed_dim, vision_cfg, text_cfg } = chinese.config.model_cfg;
  const model = repository('chinese', chinese, {
    'config.json': {
      model_type: 'chinese_clip',
      projection_dim: embed_dim,
      text_config: {
        ...text_cfg.hf_config,
        max_position_embeddings: text_cfg.hf_config.max_position_embeddings,
        model_type: 'chinese_clip_text_model',
      },
      vision_config: {
        model_type: 'chinese_clip_vision_model',
        hidden_size: vision_cfg.width,
        intermediate_size: vision_cfg.width * vision_cfg.mlp_ratio,
        num_hidden_layers: vision_cfg.layers,
        num_attention_heads: vision_cfg.width / vision_cfg.head_width,
        image_size: vision_cfg.image_size,
        patch_size: vision_cfg.patch_size,
        hidden_act: 'quick_gelu',
      },
    },
    'preprocessor_config.json': {
      size: { height: vision_cfg.image_size, width: vision_cfg.image_size },
      do_center_crop: false,
      image_mean: [0.48145466, 0.4578275, 0.40821073],
      image_std: [0.26862954, 0.26130258, 0.27577711],
    },
  });
  const text = await loadTextEncoder({ model, dtype: 'fp32' });
  const { tokens, text_features, pixels, image_features } = chinese.expected;
  const padded = rows(tokens).map((ids) => {
    const longer = new Int32Array(text.info.contextLength);
    longer.set(ids);
    return longer;
  });
  const vectors = await text.embedTokens(padded, { normalize: false });
  rows(text_features).forEach((expected, i) => assert.ok(cosine(vectors[i], expected) > 0.99999, `text ${i}`));
  text.dispose();
  const image = await loadImageEncoder({ model, dtype: 'fp32' });
  const pictures = await image.embedPixels(rows(pixels), { normalize: false });
  rows(image_features).forEach((expected, i) => assert.ok(cosine(pictures[i], expected) > 0.99999, `picture ${i}`));
  image.dispose();
});
