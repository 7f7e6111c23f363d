// Compares token ids of a list of cases, as weights-tools/golden_tokenizers.py writes it, with those that the package
// gives: node tests/compare-tokenizers.mjs CASES. Exits with 1 where any differ.

import { readFile } from 'node:fs/promises';
import path from 'node:path';

import { compactTokenizer } from '../web/text/tokenizer-json.js';
import { createHuggingFaceTokenizer } from '../web/text/hugging-face.js';
import '../web/node/index.js';
import { Wasm } from '../web/wasm/instance.js';

const readJson = async (file) => JSON.parse(await readFile(file, 'utf8'));

/**
 * The texts of a case whose ids differ.
 * @param {{ tokenizer: string, text_cfg: object, texts: [string, number[]][] }} testCase tokenizer: a folder
 * @returns {Promise<{ text: string, found: number[], expected: number[] }[]>}
 */
export async function differences({ tokenizer: folder, text_cfg, texts }) {
  const json = await readJson(path.join(folder, 'tokenizer.json'));
  const bytes = compactTokenizer(json, await readJson(path.join(folder, 'tokenizer_config.json')));
  const tokenizer = createHuggingFaceTokenizer(await Wasm.create(), text_cfg, bytes, folder);
  return texts
    .map(([text, expected]) => ({
      text,
      expected,
      found: Array.from(tokenizer.tokenize([text], text_cfg.context_length)[0]),
    }))
    .filter(({ found, expected }) => found.join() !== expected.join());
}

if (process.argv[1] === import.meta.filename) {
  for (const testCase of await readJson(process.argv[2])) {
    const different = await differences(testCase);
    console.log(`${testCase.tokenizer}: ${different.length} of ${testCase.texts.length} texts have other ids`);
    for (const { text, found, expected } of different.slice(0, 5))
      console.log(`${JSON.stringify(text)}\n  ${found.join(' ')}\n  expected ${expected.join(' ')}`);
    if (different.length) process.exitCode = 1;
  }
}
