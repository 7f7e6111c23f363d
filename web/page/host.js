// The host of a page, or of a worker of the caller's own: files lie beside this module, or where bundlers leave them.
//
// `new URL('./name', import.meta.url)` stands here word for word for each file, for this is what bundlers look for, to
// move the file along and to put its new address in place.

import { ASSETS } from '../network/assets.js';

const BESIDE = {
  'halfclip-vit-relaxed.wasm': () => new URL('./halfclip-vit-relaxed.wasm', import.meta.url),
  'halfclip-vit-simd128.wasm': () => new URL('./halfclip-vit-simd128.wasm', import.meta.url),
  'halfclip-vit-relaxed-threads.wasm': () => new URL('./halfclip-vit-relaxed-threads.wasm', import.meta.url),
  'halfclip-vit-simd128-threads.wasm': () => new URL('./halfclip-vit-simd128-threads.wasm', import.meta.url),
  'halfclip-relaxed.wasm': () => new URL('./halfclip-relaxed.wasm', import.meta.url),
  'halfclip-simd128.wasm': () => new URL('./halfclip-simd128.wasm', import.meta.url),
  'halfclip-relaxed-threads.wasm': () => new URL('./halfclip-relaxed-threads.wasm', import.meta.url),
  'halfclip-simd128-threads.wasm': () => new URL('./halfclip-simd128-threads.wasm', import.meta.url),
  'halfclip-files.wasm': () => new URL('./halfclip-files.wasm', import.meta.url),
  'clip-merges.bin': () => new URL('./clip-merges.bin', import.meta.url),
  'models/halfclip-emoji-image.safetensors': () =>
    new URL('./models/halfclip-emoji-image.safetensors', import.meta.url),
  'models/halfclip-emoji-text.safetensors': () => new URL('./models/halfclip-emoji-text.safetensors', import.meta.url),
};

/**
 * Where else the package may be served: development servers such as Vite's keep what they have made of a package in a
 * folder of their own (node_modules/.vite/deps) and serve the package itself as well. Its address, or null.
 */
function unbundled() {
  const [, modules] = /^(.*\/node_modules\/)\.[^]*$/.exec(import.meta.url ?? '') ?? [];
  return modules ? `${modules}halfclip/dist/` : null;
}

export function neighbours() {
  const first = unbundled();
  return Object.fromEntries(
    ASSETS.map((name) => {
      const places = first ? [first + name] : [];
      try {
        places.push(BESIDE[name]().href);
      } catch {
        // Some bundlers leave nothing of import.meta.url.
      }
      return [name, [...new Set(places)]];
    }),
  );
}

const OPTIONS = { type: 'module', name: 'halfclip-worker' };

export function workers(assets) {
  if (typeof Worker !== 'function') return [];
  const at = (place) => ({ place, make: () => new Worker(place, OPTIONS) });
  if (assets !== undefined) return [at(`${assets}worker.js`)];
  const first = unbundled();
  const beside = {
    place: 'worker.js beside the module',
    make: () => new Worker(new URL('./worker.js', import.meta.url), { type: 'module', name: 'halfclip-worker' }),
  };
  return first ? [at(`${first}worker.js`), beside] : [beside];
}
