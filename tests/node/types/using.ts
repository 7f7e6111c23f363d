// An encoder that ends with its block.

import { loadImageEncoder } from 'halfclip';

export async function pictures(): Promise<Float32Array> {
  using image = await loadImageEncoder({ model: 'halfclip-emoji' });
  return image.embed('a.png');
}
