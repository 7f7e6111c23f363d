// Pictures with a number in their pixels: what a decoder gives says which frame it is.

const [WIDTH, HEIGHT, CELL] = [128, 96, 16];
const BITS = 16; // eight in a row, from the upper left corner

/** The number that a picture shows. */
export function numberIn({ data, width, height }) {
  const channels = data.length / (width * height);
  let number = 0;
  for (let bit = 0; bit < BITS; bit++) {
    const x = ((bit % 8) + 0.5) * CELL;
    const y = (Math.floor(bit / 8) + 0.5) * CELL;
    number |= (data[(y * width + x) * channels] > 128) << bit;
  }
  return number;
}

/** A picture with a number, as RGB, turned back by `turned` degrees. */
export function numbered(number, turned) {
  const [width, height] = turned % 180 ? [HEIGHT, WIDTH] : [WIDTH, HEIGHT];
  const data = new Uint8Array(3 * WIDTH * HEIGHT).fill(20);
  // Where a pixel is stored that is seen at x, y.
  const stored = {
    0: (x, y) => [x, y],
    90: (x, y) => [y, height - 1 - x],
    180: (x, y) => [width - 1 - x, height - 1 - y],
  };
  for (let bit = 0; bit < BITS; bit++) {
    if (!((number >> bit) & 1)) continue;
    for (let pixel = 0; pixel < CELL * CELL; pixel++) {
      const [x, y] = [CELL * (bit % 8) + (pixel % CELL), CELL * Math.floor(bit / 8) + Math.floor(pixel / CELL)];
      const [column, row] = stored[turned](x, y);
      data.fill(235, 3 * (row * width + column), 3 * (row * width + column + 1));
    }
  }
  return { data, width, height };
}
