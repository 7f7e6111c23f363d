// Pictures of a folder that `halfclip serve` shows: Node.js reads them, and the page takes what it has read.

const POLL_EVERY = 1000; // milliseconds

const place = (name) => new URL(name, import.meta.url).href;

/**
 * What the server shows besides the page: { folder, model, hasIndex, isDone }; an empty object where that is nothing.
 */
export async function readServed() {
  try {
    const response = await fetch(place('served.json'), { cache: 'no-store' });
    return response.ok ? await response.json() : {};
  } catch {
    return {}; // without a network
  }
}

/** The model that the pictures are read with, as modelOf() takes it; null if nothing is served. */
export function servedModel({ model }) {
  if (!model) return null;
  const found = { ...model };
  for (const name of ['weights', 'textWeights']) {
    if (/^(text-)?weights\//.test(found[name] ?? '')) found[name] = place(found[name]);
  }
  return found;
}

/** Takes pictures over until all are read. */
export async function followServed({ library, notices }) {
  for (;;) {
    const served = await readServed();
    if (!served.folder) return;
    const { folder, hasIndex, isDone } = served;
    if (isDone) notices.clear('served');
    else notices.show('served', `Pictures of “${folder}” are being read by Node.js, and come in as they are.`);
    const index = hasIndex ? place('pictures.index') : null;
    await library.takeServed({ folder, index, list: place('pictures/index.txt'), isDone });
    if (isDone) return;
    await new Promise((resolve) => setTimeout(resolve, POLL_EVERY));
  }
}
