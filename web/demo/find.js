// The first panel: pictures come in and are embedded one by one; words, or one of the pictures, put them in order.

import { cosineSimilarity } from '../index.js';
import { formatTime, plural } from './format.js';
import { Grid } from './grid.js';
import { fromDrop, fromFiles, fromFolder, fromSamples } from './intake.js';

/** Long side of a thumbnail in pixels: sharp on a dense screen, small enough for a thousand of them. */
const THUMBNAIL = 320;
/** The pause after a key before a query is embedded, in ms. */
const TYPING_PAUSE = 60;
/** The least pause between two orderings while pictures come in, in ms; with many pictures, a millisecond for each. */
const ORDERING_PAUSE = 250;
const BEST = 3;

const label = (name) => name.replace(/\.[^.]+$/, '').replace(/[-_]+/g, ' ');

// The decoding that loadImageEncoder documents for files: what the pixels are must not depend on the screen.
const decode = (blob) => createImageBitmap(blob, { colorSpaceConversion: 'none', premultiplyAlpha: 'none' });

async function makeThumbnail(bitmap) {
  const scale = Math.min(1, THUMBNAIL / Math.max(bitmap.width, bitmap.height));
  const canvas = document.createElement('canvas');
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  const context = canvas.getContext('2d');
  context.imageSmoothingQuality = 'high';
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve) => canvas.toBlob(resolve, 'image/webp', 0.85));
}

/**
 * @returns {Promise<{ blob: Blob, bitmap?: ImageBitmap, thumbnail?: Blob }>}  no bitmap if the browser cannot decode it
 */
async function open(source) {
  const blob = await source.open();
  const bitmap = await decode(blob).catch(() => undefined);
  return { blob, bitmap, thumbnail: bitmap && (await makeThumbnail(bitmap)) };
}

/**
 * @param {object} parts
 * @param {import('./towers.js').Towers} parts.towers
 * @param {ReturnType<import('./notices.js').createNotices>} parts.notices
 * @param {(message: string) => void} parts.announce  says something to those who listen to the page
 */
export function createFindPanel({ towers, notices, announce }) {
  const byId = (id) => document.getElementById(id);
  const input = byId('query');
  const similar = byId('similar');

  /** { source, name, tile, vector? } in the order in which they came. */
  let pictures = [];
  let queue = [];
  let working = false;
  /** What the pictures are ordered by: { vector, words } or { vector, picture }. */
  let query;
  let pending = new AbortController();
  let unreadable = [];

  const grid = new Grid(byId('pictures'), (tile) => findSimilar(pictures.find((picture) => picture.tile === tile)));

  // Pictures ------------------------------------------------------------------------------------------------------

  function add(sources) {
    notices.clear('pictures');
    unreadable = [];
    for (const source of sources) {
      const picture = { source, name: label(source.name), tile: grid.add(label(source.name)) };
      pictures.push(picture);
      queue.push(picture);
    }
    render();
    work();
  }

  async function work() {
    if (working) return;
    working = true;
    notices.clear('image');
    try {
      while (queue.length > 0) {
        await towers.textIsIdle();
        await towers.use('image', embedWaiting);
      }
      if (pictures.length > 0 && !query) announce(`${plural(pictures.length, 'picture')} ready. Type to find some.`);
    } catch (error) {
      notices.show('image', `The image half could not be loaded. ${error.message}`, work);
    } finally {
      working = false;
      render();
    }
  }

  /** Embeds until nothing waits, or until somebody else waits for a tower. The next picture is decoded meanwhile. */
  async function embedWaiting(encoder) {
    let next;
    const prepare = () => {
      const picture = queue[0];
      if (!picture) return undefined;
      const opened = open(picture.source);
      opened.catch(() => {});
      return { picture, opened };
    };
    while (queue.length > 0 && !towers.contended) {
      const { picture, opened } = next?.picture === queue[0] ? next : prepare();
      queue.shift();
      next = prepare();
      try {
        await embedOne(encoder, picture, await opened);
      } catch (error) {
        reject(picture, error);
      }
      render();
      orderSoon();
    }
    next?.opened.then(
      ({ bitmap }) => bitmap?.close(),
      () => {},
    );
  }

  async function embedOne(encoder, picture, { blob, bitmap, thumbnail }) {
    try {
      if (!pictures.includes(picture)) return;
      if (thumbnail) picture.tile.showThumbnail(thumbnail);
      const start = performance.now();
      // What the browser cannot decode, the encoder refuses in words that name the reason.
      picture.vector = await encoder.embed(bitmap ?? blob);
      towers.record('image', performance.now() - start);
      picture.tile.ready();
    } finally {
      bitmap?.close();
    }
  }

  function reject(picture, error) {
    forget(picture);
    const reason = error.message.includes(picture.source.name)
      ? error.message
      : `${picture.source.name}: ${error.message}`;
    unreadable.push(reason);
    const more = unreadable.length > 3 ? ` … and ${unreadable.length - 3} more` : '';
    notices.show(
      'pictures',
      `${plural(unreadable.length, 'picture')} could not be read. ${unreadable.slice(0, 3).join(' · ')}${more}`,
    );
  }

  function forget(picture) {
    pictures = pictures.filter((other) => other !== picture);
    grid.remove(picture.tile);
  }

  function removeAll() {
    queue = [];
    for (const picture of pictures) grid.remove(picture.tile);
    pictures = [];
    setQuery(undefined);
    input.value = '';
    notices.clear('pictures');
    announce('All pictures removed.');
    byId('add-files').focus();
  }

  // Queries -------------------------------------------------------------------------------------------------------

  function setQuery(next) {
    pending.abort();
    pending = new AbortController();
    query = next;
    similar.hidden = !next?.picture;
    if (next?.picture) {
      byId('similar-picture').src = next.picture.tile.url;
      byId('similar-text').textContent = `like ${next.picture.name}`;
    }
    order();
    render();
  }

  function findSimilar(picture) {
    input.value = '';
    setQuery({ picture, vector: picture.vector });
    document.activeElement.scrollIntoView?.({ block: 'nearest' });
  }

  async function findWords() {
    const words = input.value.trim();
    pending.abort();
    if (words === '') {
      if (!query?.picture) setQuery(undefined);
      return;
    }
    const { signal } = (pending = new AbortController());
    try {
      await new Promise((resolve) => setTimeout(resolve, TYPING_PAUSE));
      signal.throwIfAborted();
      const vector = await towers.use(
        'text',
        async (encoder) => {
          const start = performance.now();
          const result = await encoder.embed(words, { signal });
          towers.record('text', performance.now() - start);
          return result;
        },
        signal,
      );
      signal.throwIfAborted();
      notices.clear('text');
      setQuery({ words, vector });
    } catch (error) {
      if (!signal.aborted) notices.show('text', `The text half could not answer. ${error.message}`, findWords);
    }
  }

  // Order ---------------------------------------------------------------------------------------------------------

  let ordering;
  function orderSoon() {
    if (query) ordering ??= setTimeout(order, Math.max(ORDERING_PAUSE, pictures.length));
  }

  function order() {
    clearTimeout(ordering);
    ordering = undefined;
    if (!query) {
      for (const { tile } of pictures) tile.showScore(undefined);
      grid.arrange(pictures.map(({ tile }) => tile));
      return;
    }
    const scored = pictures
      .filter(({ vector }) => vector)
      .map((picture) => ({ picture, score: cosineSimilarity(query.vector, picture.vector) }));
    scored.sort((a, b) => b.score - a.score);
    const best = scored[0]?.score ?? 0;
    const span = best - (scored.at(-1)?.score ?? 0) || 1;
    scored.forEach(({ picture, score }, rank) => picture.tile.showScore(score, 1 - (best - score) / span, rank < BEST));
    const waiting = pictures.filter(({ vector }) => !vector);
    grid.arrange([...scored.map(({ picture }) => picture), ...waiting].map(({ tile }) => tile));
    announceSoon(scored);
  }

  let announcing;
  function announceSoon(scored) {
    clearTimeout(announcing);
    if (scored.length === 0) return;
    const subject = query.picture ? `Like ${query.picture.name}` : `“${query.words}”`;
    const names = scored
      .slice(0, BEST)
      .map(({ picture }) => picture.name)
      .join(', ');
    announcing = setTimeout(
      () => announce(`${subject}: ${plural(scored.length, 'picture')} in order. First: ${names}.`),
      700,
    );
  }

  // What is seen --------------------------------------------------------------------------------------------------

  function render() {
    const any = pictures.length > 0;
    byId('empty').hidden = any;
    byId('pictures').hidden = !any;
    byId('clear').hidden = !any;
    const ready = pictures.filter(({ vector }) => vector).length;
    const busy = working && ready < pictures.length;
    byId('progress').hidden = !busy;
    byId('summary').hidden = busy || !any;
    const milliseconds = towers.milliseconds('image');
    const pace = milliseconds === undefined ? '' : `, ${formatTime(milliseconds)} each`;
    if (busy) {
      const { state, loaded, total } = towers.figures.image;
      const loading = state === 'loading';
      byId('progress-bar').max = loading ? total || 1 : pictures.length;
      byId('progress-bar').value = loading ? loaded : ready;
      byId('progress-text').textContent = loading
        ? 'Loading the image half'
        : `${ready} of ${plural(pictures.length, 'picture')}${pace}`;
    } else {
      byId('summary').textContent =
        `${ready < pictures.length ? `${ready} of ` : ''}${plural(pictures.length, 'picture')}${pace}`;
    }
  }
  towers.onChange(() => working && render());

  // Events --------------------------------------------------------------------------------------------------------

  async function addFrom(listing) {
    try {
      const sources = await listing;
      if (sources.length === 0) notices.show('pictures', 'There are no pictures in that folder.');
      else add(sources);
    } catch (error) {
      notices.show('pictures', error.message);
    }
  }

  function choose(button, chooser, list) {
    byId(button).addEventListener('click', () => byId(chooser).click());
    byId(chooser).addEventListener('change', (event) => {
      const files = [...event.target.files];
      event.target.value = '';
      if (files.length > 0) addFrom(list(files));
    });
  }
  choose('add-files', 'files', fromFiles);
  choose('add-folder', 'folder', fromFolder);
  byId('add-samples').addEventListener('click', () => addFrom(fromSamples()));
  byId('clear').addEventListener('click', removeAll);
  byId('similar-clear').addEventListener('click', () => {
    setQuery(undefined);
    input.focus();
  });

  input.addEventListener('input', findWords);
  input.addEventListener('keydown', (event) => {
    if (event.key === 'ArrowDown' && pictures.length > 0) {
      event.preventDefault();
      grid.focusFirst();
    }
    if (event.key === 'Backspace' && input.value === '' && query?.picture) setQuery(undefined);
  });
  byId('search').addEventListener('submit', (event) => {
    event.preventDefault();
    findWords();
  });

  const hasFiles = (event) => event.dataTransfer?.types.includes('Files');
  addEventListener('dragover', (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    document.body.classList.add('dropping');
  });
  addEventListener('dragleave', (event) => {
    if (event.relatedTarget === null) document.body.classList.remove('dropping');
  });
  addEventListener('drop', (event) => {
    document.body.classList.remove('dropping');
    if (!hasFiles(event)) return;
    event.preventDefault();
    byId('tab-find').click();
    addFrom(fromDrop(event.dataTransfer));
  });
  addEventListener('paste', (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (files.length === 0) return;
    event.preventDefault();
    byId('tab-find').click();
    addFrom(fromFiles(files));
  });
}
