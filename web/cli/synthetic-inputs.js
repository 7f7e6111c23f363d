// Inputs for a tower of which no pictures and no texts are given: numbers that go together as those of photographs and
// of sentences do, the same ones each time.

/** Numbers from 0 to 1, always the same (Mulberry32). */
function generator(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let x = Math.imul(state ^ (state >>> 15), state | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  };
}

/**
 * A picture of overlapping discs and boxes of all sizes, small ones most often, each shaded from one colour to another:
 * "dead leaves" (Lee, Mumford and Huang 2001), which have edges and a spectrum like those of photographs.
 * @param {number} seed
 * @param {number} side in pixels
 * @returns {{ data: Uint8Array, width: number, height: number }} RGB
 */
export function syntheticPicture(seed, side) {
  const random = generator(seed);
  const data = new Uint8Array(3 * side * side);
  const [least, most] = [side / 64, side / 2];
  const grey = random() < 0.1;
  const colour = () => {
    const light = 255 * random();
    return Array.from({ length: 3 }, () => (grey ? light : 0.6 * light + 0.4 * 255 * random()));
  };
  const leaves = 40 + Math.floor(400 * random());
  for (let leaf = -1; leaf < leaves; leaf++) {
    const size = leaf < 0 ? 2 * side : least + (most - least) * random() ** 3; // the first is the background
    const [x, y] = [side * random(), side * random()];
    const [from, to] = [colour(), colour()];
    const angle = 2 * Math.PI * random();
    const [dx, dy] = [Math.cos(angle), Math.sin(angle)];
    const stretch = 0.4 + 0.6 * random();
    const round = random() < 0.6;
    const noise = 30 * random() ** 2;
    const [top, bottom] = [Math.max(0, Math.floor(y - size)), Math.min(side, Math.ceil(y + size))];
    const [left, right] = [Math.max(0, Math.floor(x - size)), Math.min(side, Math.ceil(x + size))];
    for (let row = top; row < bottom; row++)
      for (let column = left; column < right; column++) {
        const along = ((column - x) * dx + (row - y) * dy) / size;
        const across = ((row - y) * dx - (column - x) * dy) / (size * stretch);
        if (round ? along ** 2 + across ** 2 > 1 : Math.max(Math.abs(along), Math.abs(across)) > 0.7) continue;
        const share = (along + 1) / 2;
        const grain = noise * (random() - 0.5);
        for (let c = 0; c < 3; c++)
          data[3 * (row * side + column) + c] = Math.min(255, Math.max(0, from[c] + share * (to[c] - from[c]) + grain));
      }
  }
  return { data, width: side, height: side };
}

/**
 * A text of the tokens of a vocabulary, those that were merged first most often (Zipf's law), as OpenCLIP's tokenizer
 * would lay it out.
 * @param {number} seed
 * @param {{ contextLength: number, vocabSize: number, start: number, end: number, pad: number }} text
 * @returns {Int32Array} [contextLength]
 */
export function syntheticText(seed, { contextLength, vocabSize, start, end, pad }) {
  const random = generator(seed);
  const ids = new Int32Array(contextLength).fill(pad);
  const length = Math.min(contextLength - 2, 4 + Math.floor(24 * random()));
  const first = Math.min(256, vocabSize >> 1);
  ids[0] = start;
  for (let i = 1; i <= length; i++) ids[i] = Math.floor(first * (vocabSize / first) ** (random() * 0.999));
  ids[length + 1] = end;
  return ids;
}
