// A picture, large: where it is, what is like it, and what can be done with it.

import { formatBytes } from './format.js';

const ALIKES = 8;
const byId = (id) => document.getElementById(id);

/** What the clipboard takes: PNG. */
async function asPng(blob) {
  const bitmap = await createImageBitmap(blob);
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  canvas.getContext('2d').drawImage(bitmap, 0, 0);
  bitmap.close();
  return canvas.convertToBlob({ type: 'image/png' });
}

/**
 * @param {object} parts
 * @param {{ similar(id: number): void, hide(ids: number[]): void, remove(ids: number[]): void }} parts.on
 */
export function createViewer({ library, album, clips, grid, on }) {
  const dialog = byId('viewer');
  const image = byId('viewer-picture');
  const video = byId('viewer-clip');
  let shown; // id
  let picture; // Blob

  const say = (text) => (byId('viewer-said').textContent = text);

  function open(id) {
    if (!dialog.open) dialog.showModal();
    show(id);
  }

  async function show(id) {
    const record = album.get(id);
    shown = id;
    say('');
    byId('viewer-name').textContent = record.name;
    byId('viewer-path').textContent = record.path;
    byId('viewer-hide').textContent = record.hidden ? 'Show again' : 'Hide';
    byId('viewer-about').textContent = record.problem ?? '';
    const index = grid.order.indexOf(id);
    byId('viewer-previous').disabled = index <= 0;
    byId('viewer-next').disabled = index < 0 || index === grid.order.length - 1;
    byId('alikes').replaceChildren();
    const original = await library.original(id);
    const blob = original ?? (await library.thumbnails([id]))[0];
    const clip = record.clip && (await clips.fileOf(record));
    if (shown !== id || !dialog.open) return;
    showPicture(blob, record);
    showClip(clip, record);
    if (record.clip)
      byId('viewer-about').textContent = clip
        ? describe(record)
        : 'This is a frame of the clip, which can be played again once it is added again.';
    else if (!original && !record.problem)
      byId('viewer-about').textContent =
        'This is the small copy: the file itself can be opened again once it is added again.';
    else if (!record.problem) byId('viewer-about').textContent = describe(record);
    if (record.ready) await showAlikes(id);
  }

  function describe({ size, modified, taken = modified }) {
    const parts = [];
    if (taken) parts.push(new Date(taken).toLocaleDateString(undefined, { dateStyle: 'long' }));
    if (size) parts.push(formatBytes(size));
    return parts.join(' · ');
  }

  function showPicture(blob, { name }) {
    URL.revokeObjectURL(image.src);
    picture = blob;
    image.alt = name;
    if (blob) image.src = URL.createObjectURL(blob);
    else image.removeAttribute('src');
  }

  /** Plays a clip from the frame on, unless the visitor wants nothing to move by itself. */
  function showClip(file, { name, time }) {
    URL.revokeObjectURL(video.src);
    video.hidden = !file;
    image.hidden = Boolean(file);
    if (!file) return video.removeAttribute('src');
    video.ariaLabel = name;
    video.src = URL.createObjectURL(file);
    video.currentTime = time;
    if (!matchMedia('(prefers-reduced-motion: reduce)').matches) video.play().catch(() => {}); // then it waits for a click
  }

  async function showAlikes(id) {
    const own = album.together(id);
    const { ids } = await library.search({ picture: id, limit: 2 * ALIKES + own.length });
    const once = album.oncePerClip();
    const others = [...ids].filter((other) => album.get(other) && !own.includes(other) && once(other)).slice(0, ALIKES);
    const blobs = await library.thumbnails(others);
    if (shown !== id) return;
    byId('alikes').replaceChildren(
      ...others.map((other, i) => {
        const item = document.createElement('li');
        const button = document.createElement('button');
        button.type = 'button';
        button.ariaLabel = album.get(other).name;
        button.title = album.get(other).path;
        const small = document.createElement('img');
        small.alt = '';
        if (blobs[i]) {
          small.src = URL.createObjectURL(blobs[i]);
          small.addEventListener('load', () => URL.revokeObjectURL(small.src));
        }
        button.append(small);
        button.addEventListener('click', () => show(other));
        item.append(button);
        return item;
      }),
    );
  }

  function step(by) {
    const id = grid.order[grid.order.indexOf(shown) + by];
    if (id !== undefined) show(id);
  }

  function close() {
    dialog.close();
  }

  dialog.addEventListener('close', () => {
    URL.revokeObjectURL(image.src);
    image.removeAttribute('src');
    showClip(null, {});
    picture = undefined;
    grid.focus(album.get(shown) ? shown : undefined);
  });
  dialog.addEventListener('click', (event) => event.target === dialog && close());
  dialog.addEventListener('keydown', (event) => {
    if (event.target === video) return; // where arrows lead through the clip
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (by) step(by);
  });
  byId('viewer-close').addEventListener('click', close);
  byId('viewer-previous').addEventListener('click', () => step(-1));
  byId('viewer-next').addEventListener('click', () => step(1));
  byId('viewer-similar').addEventListener('click', () => {
    close();
    on.similar(shown);
  });
  byId('viewer-copy').addEventListener('click', async () => {
    try {
      await navigator.clipboard.write([new ClipboardItem({ 'image/png': asPng(picture) })]);
      say('The picture is in the clipboard.');
    } catch (error) {
      say(`It could not be copied. ${error.message}`);
    }
  });
  byId('viewer-copy-path').addEventListener('click', async () => {
    try {
      await navigator.clipboard.writeText(album.get(shown).path);
      say('The path is in the clipboard.');
    } catch (error) {
      say(`It could not be copied. ${error.message}`);
    }
  });
  byId('viewer-hide').addEventListener('click', () => {
    on.hide([shown]);
    show(shown);
  });
  byId('viewer-remove').addEventListener('click', async () => {
    const index = grid.order.indexOf(shown);
    const next = grid.order[index + 1] ?? grid.order[index - 1];
    const gone = shown;
    if (next === undefined) close();
    else show(next);
    on.remove([gone]);
  });

  return { open };
}
