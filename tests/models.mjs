// The README's table of models: for each of OpenCLIP's architectures, whether the loader takes each tower, and what tokenizer its texts need.
// `node tests/models.mjs` prints it, with --write puts it into README.md.

import { models } from '../web/models.js';
import '../web/node/index.js';
import { Wasm } from '../web/wasm.js';
import { readmePart } from './readme.mjs';

export const README = readmePart('models', 'tests/models.mjs', async () => table(await supported()));
const TOWERS = ['image', 'text'];

/** For each architecture and tower, null, or why the loader refuses it. */
export async function supported() {
  const wasm = await Wasm.create();
  const { exports } = wasm;
  const why = (config, tower) => {
    const loader = wasm.with(JSON.stringify(config), 'a config', (pointer, length) => exports.hc_loader_new(TOWERS.indexOf(tower), pointer, length, 3));
    const reason = exports.hc_loader_status(loader) ? wasm.string(exports.hc_loader_message(loader)) : null;
    exports.hc_loader_free(loader);
    return reason;
  };
  return Object.entries(models).map(([name, config]) => ({ name, config, image: why(config, 'image'), text: why(config, 'text') }));
}

function imageCell({ image, config }) {
  if (!image) return 'yes';
  return config.vision_cfg.timm_model_name ? 'not yet (timm)' : 'not yet (ResNet)';
}

function textCell({ text, config }) {
  if (text) return 'not yet (Hugging Face)';
  return config.text_cfg.hf_tokenizer_name ? 'token ids' : 'yes';
}

/** Markdown, one row for architectures that stand alike. */
export function table(rows) {
  const groups = new Map();
  for (const row of rows) {
    const key = `${imageCell(row)} | ${textCell(row)}`;
    groups.set(key, [...(groups.get(key) ?? []), row.name]);
  }
  const count = (cell, word) => rows.filter((row) => cell(row).startsWith(word)).length;
  const lines = [
    `Of ${rows.length} architectures, ${count(imageCell, 'yes')} image towers and ${count(textCell, 'yes') + count(textCell, 'token')} text towers load.`,
    '`token ids`: the tower loads and `embedTokens` works; its own tokenizer is not built in.',
    '',
    '| image tower | text tower | architectures |',
    '|---|---|---|',
  ];
  for (const [key, names] of [...groups].sort(([, a], [, b]) => b.length - a.length)) lines.push(`| ${key} | ${names.join(', ')} |`);
  return lines.join('\n');
}

await README.command();
