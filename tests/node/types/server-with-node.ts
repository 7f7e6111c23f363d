// The same project with Node.js's own types.

import { openAsBlob, readFileSync } from 'node:fs';
import { Blob as NodeBlob } from 'node:buffer';
import { pathToFileURL } from 'node:url';

import { loadImageEncoder, loadTextEncoder } from 'halfclip';

export async function embed(path: string): Promise<Float32Array[]> {
  const signal = AbortSignal.timeout(1000);
  const image = await loadImageEncoder({
    model: 'ViT-B-32',
    weights: await openAsBlob(path),
    signal,
    fetch: (url, init) => fetch(url, init),
  });
  const text = await loadTextEncoder({ weights: pathToFileURL(path), hub: new URL('https://example.org'), fetch });
  text.dispose();
  return image.embed([readFileSync(path), new NodeBlob([]), new Blob([]), new URL('file:///a.png'), path], { signal });
}

// @ts-expect-error: a number is no signal
loadTextEncoder({ model: 'ViT-B-32', signal: 5 });
