// The models that can be chosen: a few that are known to be good, and whatever the visitor names, gives the address of,
// or has in a file.
//
// A file's towers are kept like those of an address: its bytes are read through a `fetch` of our own, so that the
// package packs and keeps the tower, and the file is not needed again.

/** The start of the addresses that stand for files; nobody is asked for them. */
export const FILES = 'https://file.invalid/';

/**
 * `size`: millions of parameters, image and text: about as many megabytes are kept. `pace`: how long one embedding takes,
 * beside the same of the others (tests/bench/README.md). `isBundled`: its towers are timed alone, see speed.js.
 */
export const KNOWN = [
  {
    key: 'halfclip-emoji',
    label: 'halfclip-emoji, the bundled one',
    about: 'It knows emoji, in English, and nothing else: it is here to try the page, not to search photographs with.',
    options: { model: 'halfclip-emoji' },
    size: [4, 3],
    isBundled: true,
  },
  {
    key: 'ViT-B-32-laion2b',
    label: 'ViT-B-32 · laion2b_s34b_b79k',
    about: 'Photographs, in English. The one to start with.',
    options: { model: 'ViT-B-32', weights: 'laion2b_s34b_b79k' },
    size: [88, 63],
    pace: { image: 1, text: 1 },
  },
  {
    key: 'ViT-B-16-laion2b',
    label: 'ViT-B-16 · laion2b_s34b_b88k',
    about: 'Photographs, in English. Sees smaller things, and takes almost four times as long.',
    options: { model: 'ViT-B-16', weights: 'laion2b_s34b_b88k' },
    size: [86, 63],
    pace: { image: 3.9, text: 1 },
  },
  {
    key: 'ViT-L-14-datacomp',
    label: 'ViT-L-14 · datacomp_xl_s13b_b90k',
    about: 'Photographs, in English. Better at everything, and takes eighteen times as long.',
    options: { model: 'ViT-L-14', weights: 'datacomp_xl_s13b_b90k' },
    size: [304, 124],
    pace: { image: 18, text: 2.3 },
  },
];

/** A key that files can be named by. */
function keyOf(text) {
  let hash = 0;
  for (const character of text) hash = (Math.imul(hash, 31) + character.codePointAt(0)) >>> 0;
  return `${text.replace(/[^a-z0-9]+/gi, '-').slice(-60)}-${hash.toString(36)}`;
}

/**
 * What the visitor wrote as a model.
 * @param {{ model?: string, weights?: string, imageWeights?: string, textWeights?: string, dtype?: string, hub?: string,
 *   file?: File }} given
 */
export function modelOf({ file, ...given }) {
  const options = Object.fromEntries(Object.entries(given).filter(([, value]) => value));
  if (!file) {
    const known = KNOWN.find(({ options: theirs }) => JSON.stringify(theirs) === JSON.stringify(options));
    if (known) return known;
    const label = [options.model, options.weights ?? options.imageWeights].filter(Boolean).join(' · ');
    return { key: keyOf(JSON.stringify(options)), label, options };
  }
  const { name, size, lastModified } = file;
  const weights = FILES + encodeURIComponent(`${size}-${lastModified}-${name}`);
  return {
    key: keyOf(JSON.stringify({ ...options, weights })),
    label: [options.model, name].filter(Boolean).join(' · '),
    options: { ...options, weights },
    file,
  };
}

/**
 * What loadImageEncoder or loadTextEncoder gets.
 * @param {import('./download.js').Download} download  by which what is fetched can be stopped for a while
 */
export function loadOptions({ options, file }, tower, download) {
  const { imageWeights, textWeights, ...others } = options;
  const weights = (tower === 'image' ? imageWeights : textWeights) ?? others.weights;
  return {
    ...others,
    ...(weights && { weights }),
    fetch: download.over(weights?.startsWith(FILES) ? (url, init) => answerFrom(file, url, init) : fetch),
    retry: { stall: Infinity }, // a stopped download is not a silent server: it has a patience of its own
  };
}

/** Answers as a server that has the file; where it is gone, as one that is out of reach: then what is kept is used. */
async function answerFrom(file, url, init = {}) {
  if (!url.startsWith(FILES)) return fetch(url, init); // a config, on the hub
  const { method = 'GET', headers = {}, signal } = init;
  signal?.throwIfAborted();
  const asked = new Headers(headers);
  const etag = JSON.stringify(url.slice(FILES.length));
  if (!file) return new Response(null, { status: 503 });
  const [, begin, end] = /^bytes=(\d+)-(\d*)$/.exec(asked.get('Range') ?? '') ?? [];
  const from = Number(begin ?? 0);
  const to = end ? Math.min(Number(end) + 1, file.size) : file.size;
  const body = file.slice(from, to);
  return new Response(method === 'HEAD' ? null : body.stream(), {
    status: begin === undefined ? 200 : 206,
    headers: {
      ETag: etag,
      'Accept-Ranges': 'bytes',
      'Content-Length': String(to - from),
      ...(begin !== undefined && { 'Content-Range': `bytes ${from}-${to - 1}/${file.size}` }),
    },
  });
}
