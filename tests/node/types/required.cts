// A CommonJS module that requires the package.

import halfclip = require('halfclip');
import { loadTextEncoder, type TextTower } from 'halfclip';

export async function embed(text: string): Promise<Float32Array> {
  const tower: TextTower = await loadTextEncoder({ model: 'halfclip-emoji' });
  const same: halfclip.TextTower = tower;
  return same.embed(text);
}

// @ts-expect-error: an option that does not exist
halfclip.loadTextEncoder({ quantized: true });
