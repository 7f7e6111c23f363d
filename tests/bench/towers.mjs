// Times whole towers of OpenCLIP's sizes with random weights (speed does not depend on their values): load from memory,
// one picture, pictures in a batch, texts of several lengths. Best and median of runs, one thread. `node
// tests/bench/towers.mjs [MODEL …]`.

import { loadImageEncoder, loadTextEncoder } from '../../dist/index.js';
import { architectures } from '../../web/models/architectures.js';
import { randomCheckpoint } from '../node/support.mjs';

const RUNS = Number(process.env.RUNS ?? 7);
const names = process.argv.length > 2 ? process.argv.slice(2) : ['ViT-B-32', 'ViT-B-16'];

async function time(work, count = 1) {
  await work();
  const all = [];
  for (let i = 0; i < RUNS; i++) {
    const begin = performance.now();
    await work();
    all.push((performance.now() - begin) / count);
  }
  all.sort((a, b) => a - b);
  return { best: all[0], median: all[all.length >> 1] };
}

function row(model, what, { best, median }, info) {
  const memory = `${(info.memoryBytes / 1e6).toFixed(0)} MB`;
  console.log(
    [
      model.padEnd(10),
      info.dtype,
      what.padEnd(22),
      best.toFixed(1).padStart(8),
      median.toFixed(1).padStart(8),
      memory.padStart(8),
      info.simd,
    ].join('  '),
  );
}

console.log(`${process.release.name} ${process.version}, one thread, ${RUNS} runs\n`);
console.log(
  [
    'model'.padEnd(10),
    'dtype',
    'ms for each of'.padEnd(22),
    'best'.padStart(8),
    'median'.padStart(8),
    'memory'.padStart(8),
  ].join('  '),
);
for (const model of names) {
  const { vision_cfg, text_cfg, embed_dim } = architectures[model];
  for (const dtype of ['int8', 'int4', 'fp32']) {
    const image = await loadImageEncoder({ model, weights: randomCheckpoint({ vision_cfg, embed_dim }).file, dtype });
    const { imageSize } = image.info;
    const pixels = new Float32Array(3 * imageSize * imageSize).map((_, i) => Math.sin(i));
    row(model, 'one picture', await time(() => image.embedPixels(pixels)), image.info);
    row(model, 'a picture of 8', await time(() => image.embedPixels(Array(8).fill(pixels)), 8), image.info);
    image.dispose();
    const text = await loadTextEncoder({ model, weights: randomCheckpoint({ text_cfg, embed_dim }).file, dtype });
    const { contextLength, vocabSize } = text.info;
    for (const length of [8, 20, contextLength]) {
      const ids = new Int32Array(contextLength).fill(320, 0, length);
      ids[length - 1] = vocabSize - 1;
      row(model, `one text of ${length} tokens`, await time(() => text.embedTokens(ids)), text.info);
      if (length === 8)
        row(model, 'a text of 32, 8 tokens', await time(() => text.embedTokens(Array(32).fill(ids)), 32), text.info);
    }
    text.dispose();
  }
}
