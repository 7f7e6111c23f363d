// From which score on a picture fits words. Scores of one model mean nothing in another, so it is learned: from the best
// scores that things get which hardly anybody has a picture of.

const PROBES = [
  'a stethoscope',
  'an accordion',
  'a submarine',
  'a trilobite',
  'a harpoon',
  'a typewriter',
  'an igloo',
  'a sextant',
  'a catapult',
  'an anvil',
  'a loom',
  'a gramophone',
  'an abacus',
  'a scarecrow',
  'an oil rig',
  'a voting machine',
  'a parking meter',
  'a ski lift',
  'a dental chair',
  'a fire hydrant',
  'a satellite dish',
  'a cement mixer',
  'a sewing machine',
  'a suit of armour',
  'a totem pole',
  'a weather map',
  'an x-ray of a hand',
  'a wind tunnel',
  'a printing press',
  'an assembly line',
  'a blacksmith',
  'a chimney sweep',
  'a fencing match',
  'sumo wrestlers',
  'a rodeo',
  'bagpipes',
  'a hovercraft',
  'a microscope slide',
  'a quarry',
  'a telegraph',
];
/** How many more, or fewer, pictures there may be before it is learned anew. */
const DRIFT = 1.1;

export class Threshold {
  #vectors = null; // of the probes
  #value;
  #size = 0;

  /**
   * The least score of a picture that fits.
   * @param {import('./vectors.js').Vectors} pictures
   * @param {(texts: string[]) => Promise<Float32Array[]>} embed
   */
  async of(pictures, embed) {
    const { size } = pictures;
    if (size > this.#size * DRIFT || size < this.#size / DRIFT) {
      this.#vectors ??= await embed(PROBES);
      this.#value = meanAndDeviation(this.#vectors.map((vector) => pictures.search(vector, { limit: 1 })[0].score));
      this.#size = size;
    }
    return this.#value;
  }
}

function meanAndDeviation(scores) {
  const mean = scores.reduce((sum, score) => sum + score, 0) / scores.length;
  return mean + Math.sqrt(scores.reduce((sum, score) => sum + (score - mean) ** 2, 0) / scores.length);
}
