// Where pictures come from: files, folders, drag and drop, the clipboard, and the samples beside this page.
//
// Where the browser gives handles of files and folders, these are kept, so that the pictures are there the next time;
// elsewhere the page has the files until it is closed, and after that their small copies.

import { looksLikeClip, looksLikePicture } from './places.js';

/**
 * Milliseconds for which handing over files may keep the page busy: a folder of many thousands must not stop it. How many
 * files that are is learned, beginning with these.
 */
const SLICE = 8;
const FIRST_BATCH = 16;
const LARGEST_BATCH = 256;

const byId = (id) => document.getElementById(id);
const breathe = () => new Promise((resolve) => setTimeout(resolve));

const isClip = ({ file }) => file.type.startsWith('video/') || looksLikeClip(file.name);

/** Hands over files, of which each may be left out: `pictureOf` gives { file, path } or null. */
async function addFiles({ library, clips }, files, pictureOf) {
  let count = 0;
  const found = [];
  const answers = [];
  let batchSize = FIRST_BATCH;
  for (let i = 0; i < files.length;) {
    const start = performance.now();
    const pictures = [];
    for (const end = Math.min(i + batchSize, files.length); i < end; i++) pictures.push(pictureOf(files[i]));
    const all = pictures.filter(Boolean);
    found.push(...all.filter(isClip));
    const batch = all.filter((picture) => !isClip(picture));
    if (batch.length > 0) answers.push(library.add(batch)); // what takes time is done when it returns
    const slices = Math.max(0.5, (performance.now() - start) / SLICE);
    batchSize = Math.min(LARGEST_BATCH, Math.ceil(batchSize / slices));
    count += batch.length;
    await breathe();
  }
  await Promise.all(answers);
  return count + (await clips.add(found));
}

/** All that was chosen, so that a wrong choice is answered in words. */
const chosen = (file) => ({ file, path: file.name });

/** Only what looks like a picture or a clip, because folders hold all sorts of things. */
const isWanted = (name) => looksLikePicture(name) || looksLikeClip(name);
const below = (file) => (isWanted(file.name) ? { file, path: file.webkitRelativePath || file.name } : null);

const asIs = (picture) => picture;

async function fromEntry(entry, path = '') {
  if (entry.isFile) {
    if (path && !isWanted(entry.name)) return [];
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
    return [{ file, path: path + entry.name }];
  }
  const reader = entry.createReader();
  const children = [];
  for (;;) {
    // readEntries gives at most a hundred at a time, and none at the end.
    const batch = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (batch.length === 0) break;
    children.push(...batch);
  }
  children.sort((a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }));
  const lists = [];
  for (const child of children) lists.push(await fromEntry(child, `${path}${entry.name}/`));
  return lists.flat();
}

async function addHandle({ library, clips }, handle) {
  if (handle.kind === 'directory') return library.addFolder(handle);
  const picture = { file: await handle.getFile(), path: handle.name, source: { handle } };
  return isClip(picture) ? clips.add([picture]) : library.add([picture]);
}

/** What was dropped. Its items are only there during the event: everything is taken before the first await. */
function fromDrop(dataTransfer) {
  const items = [...dataTransfer.items].filter(({ kind }) => kind === 'file');
  const files = [...dataTransfer.files];
  const entries = items.map((item) => item.webkitGetAsEntry?.());
  const handles = items.map((item) => item.getAsFileSystemHandle?.().catch(() => null));
  return async (places) => {
    if (items.length === 0) return addFiles(places, files, chosen);
    let count = 0;
    for (let i = 0; i < items.length; i++) {
      const handle = await handles[i];
      if (handle) count += await addHandle(places, handle);
      else if (entries[i]) count += await addFiles(places, await fromEntry(entries[i]), asIs);
      else count += await addFiles(places, files.slice(i, i + 1), chosen);
    }
    return count;
  };
}

/** `pictures/index.txt` beside the page: one file name a line. */
async function addSamples(library) {
  const folder = new URL('pictures/', import.meta.url);
  const index = await fetch(new URL('index.txt', folder));
  if (!index.ok) throw new Error(`The sample pictures are not on this server (${index.url}: ${index.status}).`);
  const names = (await index.text()).split('\n').filter(Boolean);
  const url = (name) => new URL(name.split('/').map(encodeURIComponent).join('/'), folder).href;
  await library.addUrls(names.map((path) => ({ name: path.split('/').at(-1), path, url: url(path) })));
  return names.length;
}

/**
 * @param {object} parts
 * @param {object} parts.library  what library-worker.js answers
 * @param {object} parts.clips  see clips.js
 * @param {Promise<void>} parts.opening  until then what comes has to wait
 * @param {() => boolean} parts.mayWrite  false where another tab has the pictures
 * @param {(image: Blob, name?: string) => void} parts.lookLikeImage
 */
export function createIntake({ library, clips, notices, opening, mayWrite, lookLikeImage }) {
  const places = { library, clips };
  const input = byId('query');

  async function adding(add) {
    await opening;
    if (!mayWrite()) return;
    byId('tab-find').click();
    notices.clear('pictures');
    try {
      const count = await add();
      if (count === 0) notices.show('pictures', 'There are no pictures there.');
    } catch (error) {
      if (error.name !== 'AbortError') notices.show('pictures', error.message); // else the visitor thought better of it
    }
  }

  function choose(button, chooser, pictureOf, pick) {
    byId(button).addEventListener('click', () => (pick() ? adding(pick()) : byId(chooser).click()));
    byId(chooser).addEventListener('change', ({ target }) => {
      const files = [...target.files];
      // Emptied at once: every second the browser notes what fields hold, and of many thousand files that takes it long.
      target.value = '';
      return adding(() => addFiles(places, files, pictureOf));
    });
  }
  choose('add-files', 'files', chosen, () => {
    if (!globalThis.showOpenFilePicker) return null;
    const types = [
      {
        description: 'Pictures and clips',
        accept: {
          'image/*': ['.avif', '.bmp', '.gif', '.heic', '.jpeg', '.jpg', '.png', '.webp'],
          'video/*': ['.m4v', '.mkv', '.mov', '.mp4', '.webm'],
        },
      },
    ];
    return async () => {
      const handles = await showOpenFilePicker({ multiple: true, id: 'pictures', types });
      for (const handle of handles) await addHandle(places, handle);
      return handles.length;
    };
  });
  choose('add-folder', 'folder', below, () =>
    globalThis.showDirectoryPicker
      ? async () => addHandle(places, await showDirectoryPicker({ id: 'pictures', mode: 'read' }))
      : null,
  );
  byId('add-samples').addEventListener('click', () => adding(() => addSamples(library)));

  const hasFiles = (event) => event.dataTransfer?.types.includes('Files');
  addEventListener('dragover', (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    document.body.classList.add('dropping');
    byId('drop-hint').firstElementChild.textContent = isOnField(event) ? 'Drop to find similar ones' : 'Drop to add';
  });
  addEventListener('dragleave', (event) => {
    if (event.relatedTarget === null) document.body.classList.remove('dropping');
  });
  const isOnField = (event) => Boolean(event.target.closest?.('#field'));
  addEventListener('drop', (event) => {
    document.body.classList.remove('dropping');
    if (!hasFiles(event)) return;
    event.preventDefault();
    const [first] = event.dataTransfer.files;
    if (isOnField(event) && first) lookLikeImage(first, first.name);
    else {
      const add = fromDrop(event.dataTransfer);
      adding(() => add(places));
    }
  });
  addEventListener('paste', (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (files.length === 0) return;
    event.preventDefault();
    if (document.activeElement === input) lookLikeImage(files[0], files[0].name);
    else adding(() => addFiles(places, files, chosen));
  });
}
