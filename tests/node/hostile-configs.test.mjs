// Configs that a repository could only have been given to do harm: each is an error with a code.

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';

import { loadImageEncoder, loadTextEncoder } from '../../dist/index.js';
import './support.mjs';

const folder = mkdtempSync(path.join(tmpdir(), 'halfclip-configs-'));
after(() => rmSync(folder, { recursive: true }));

const model_cfg = {
  embed_dim: 16,
  vision_cfg: { width: 64, layers: 1, image_size: 32, patch_size: 16 },
  text_cfg: { width: 64, heads: 1, layers: 1 },
};
const nested = (depth) => '['.repeat(depth) + ']'.repeat(depth);

const CASES = {
  'preprocess_cfg null': [
    'open_clip_config.json',
    JSON.stringify({ model_cfg, preprocess_cfg: null }),
    'weights/not-found',
  ],
  'preprocess_cfg a number': [
    'open_clip_config.json',
    JSON.stringify({ model_cfg, preprocess_cfg: 5 }),
    'weights/not-found',
  ],
  'model_cfg null': ['open_clip_config.json', '{"model_cfg":null}'],
  'JSON 200,000 deep': ['open_clip_config.json', `{"model_cfg":${nested(200_000)}}`, 'model/unknown'],
  'a config.json 200,000 deep': [
    'config.json',
    `{"model_type":"clip","text_config":${nested(200_000)}}`,
    'model/unknown',
  ],
  'model_type constructor': ['config.json', '{"model_type":"constructor"}', 'model/unsupported'],
  'model_type __proto__': ['config.json', '{"model_type":"__proto__"}', 'model/unsupported'],
  'model_type an object': ['config.json', '{"model_type":{}}', 'model/unsupported'],
  'sections null': [
    'config.json',
    '{"model_type":"clip","text_config":null,"vision_config":null}',
    'weights/not-found',
  ],
};

for (const [name, [file, text, expected]] of Object.entries(CASES)) {
  test(name, async () => {
    const place = path.join(folder, name.replaceAll(/[^a-z0-9]/gi, '-'));
    mkdirSync(place);
    writeFileSync(path.join(place, file), text);
    // The image tower of a Hugging Face model needs a file more.
    for (const load of file === 'config.json' ? [loadTextEncoder] : [loadImageEncoder, loadTextEncoder]) {
      await assert.rejects(load({ model: `local-dir:${place}`, worker: false }), ({ name: kind, code, message }) => {
        assert.equal(kind, 'HalfclipError', message);
        if (expected) assert.equal(code, expected, message);
        return true;
      });
    }
  });
}

test("a config of one's own, 200,000 deep", async () => {
  await assert.rejects(
    loadTextEncoder({
      model: { embed_dim: 16, text_cfg: JSON.parse(nested(200_000)) },
      weights: new Uint8Array(100),
      worker: false,
    }),
    { name: 'HalfclipError', code: 'input/type' },
  );
});
