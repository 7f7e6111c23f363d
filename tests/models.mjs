// The tables of models: by family with sizes in README.md, and in weights-tools/README.md for each of OpenCLIP's
// architectures whether the loader takes each tower, and what tokenizer its texts need. `node tests/models.mjs` prints
// them, with --write puts them there.

import { architectures } from '../web/models/architectures.js';
import { parameters } from '../web/models/parameters.js';
import '../web/node/index.js';
import { Wasm } from '../web/wasm/instance.js';
import { coverageOf } from './coverage.mjs';
import { readmePart } from './readme.mjs';

export const MODELS = readmePart('weights-tools/README.md', 'models', 'tests/models.mjs', async () =>
  table(await supported()),
);
export const FAMILIES = readmePart('README.md', 'families', 'tests/models.mjs', async () =>
  familyTable(await supported()),
);
const TOWERS = ['image', 'text'];

/** For each architecture and tower, null, or why the loader refuses it. */
export async function supported() {
  const wasm = await Wasm.create();
  const { exports } = wasm;
  const why = (config, tower) => {
    const loader = wasm.with(JSON.stringify(config), 'a config', (pointer, length) =>
      exports.hc_loader_new(TOWERS.indexOf(tower), pointer, length, 3),
    );
    const reason = exports.hc_loader_status(loader) ? wasm.string(exports.hc_loader_message(loader)) : null;
    exports.hc_loader_free(loader);
    return reason;
  };
  return Object.entries(architectures).map(([name, config]) => ({
    name,
    config,
    image: why(config, 'image'),
    text: why(config, 'text'),
  }));
}

/** Which towers of an architecture load. */
function loaded({ image, text }) {
  const which = [...(image ? [] : ['image']), ...(text ? [] : ['text'])];
  return which.length === 2 ? 'both' : (which[0] ?? 'none');
}

/** Where the tokenizer of an architecture's texts is from. */
const tokenizer = ({ config }) => (config.text_cfg.hf_tokenizer_name ? '`tokenizer.json`' : "CLIP's");

/** Names by what they begin with, the first that fits. */
const FAMILY_NAMES = [
  ['ViT-B-32', /^ViT-B-32(?!-SigLIP|-plus)/],
  ['ViT-B-16', /^ViT-B-16(?!-SigLIP|-plus)/],
  ['ViT-L-14, ViT-L-16', /^ViT-L-1[46](?!-SigLIP|-CLIPA|-worldwide)/],
  ['ViT-H-14, ViT-H-16', /^ViT-H-1[46](?!-CLIPA|-worldwide)/],
  ['ViT-g-14, ViT-e-14, ViT-bigG-14', /^ViT-(g|e|bigG)-14(?!-CLIPA|-worldwide)/],
  ['ViT-S, ViT-M, ViT-B-plus', /^ViT-(S|M)-|^ViT-B-\d+-plus/],
  ['CoCa', /^coca_(?!roberta)/],
  ['CLIPA, worldwide', /CLIPA|worldwide/],
  ['SigLIP, SigLIP 2', /SigLIP/],
  ['MobileCLIP', /^MobileCLIP/],
  ['Perception Encoder', /^PE-Core/],
  ['EVA', /^EVA/],
  ['ViTamin', /^ViTamin/],
  ['ConvNeXt', /^convnext/],
  ["Swin and others of timm's", /./],
];
const OTHERS = [
  ['ResNet', /^RN/],
  ['Hugging Face text towers', /roberta|mt5|nllb/],
];

/** The smallest and the largest of some numbers, written by `write`. */
function range(numbers, write) {
  if (!numbers.length) return '–';
  const [least, most] = [Math.min(...numbers), Math.max(...numbers)].map(write);
  return least === most ? least : `${least} to ${most}`;
}

/** Markdown, one row a family. */
export function familyTable(rows) {
  const families = new Map([...FAMILY_NAMES, ...OTHERS].map(([family]) => [family, []]));
  for (const row of rows)
    families.get([...OTHERS, ...FAMILY_NAMES].find(([, pattern]) => pattern.test(row.name))[0]).push(row);
  const column = (members, tower) =>
    range(members.map(({ name }) => parameters[name][tower === 'image' ? 0 : 1]).filter(Boolean), (n) =>
      Math.round(n / 1e6).toLocaleString('en'),
    );
  const compared = (members) => {
    const all = members.flatMap(({ name }) => TOWERS.map((tower) => coverageOf(name, tower)?.cosine));
    const found = all.filter((cosine) => cosine !== undefined);
    return found.length ? `${Math.min(...found).toFixed(6)} (${found.length} of ${all.length})` : '–';
  };
  return [
    '| family | parameters, millions: image / text | least cosine to OpenCLIP (towers compared) |',
    '|---|---|---|',
    ...[...families].map(
      ([family, members]) =>
        `| ${family} (${members.length}) | ${column(members, 'image')} / ${column(members, 'text')} | ${compared(members)} |`,
    ),
  ].join('\n');
}

/** Markdown, one row for architectures that stand alike. */
export function table(rows) {
  const groups = new Map();
  for (const row of rows) {
    const key = `${loaded(row)} | ${tokenizer(row)}`;
    groups.set(key, [...(groups.get(key) ?? []), row.name]);
  }
  const count = (tower) => rows.filter((row) => !row[tower]).length;
  const lines = [
    `Of ${rows.length} architectures, ${count('image')} image towers and ${count('text')} text towers load.`,
    '',
    '| towers | tokenizer | architectures |',
    '|---|---|---|',
  ];
  for (const [key, names] of [...groups].sort(([, a], [, b]) => b.length - a.length))
    lines.push(`| ${key} | ${names.join(', ')} |`);
  return lines.join('\n');
}

await MODELS.command();
await FAMILIES.command();
