// The page: three panels over a worker that has the pictures, the vectors and the towers.
//
// `?model=ViT-B-32&weights=URL` runs another model; `imageWeights` and `textWeights` name a shard each where the two
// towers lie in different files, and `dtype` and `hub` are passed through as well.

import { Album } from './album.js';
import { createClips } from './clips.js';
import { createExamples } from './examples.js';
import { createExport } from './exporting.js';
import { createFindPanel } from './find-panel.js';
import { Finder } from './find.js';
import { plural } from './format.js';
import { Grid } from './grid.js';
import { installOffline } from './installing.js';
import { createIntake } from './intake.js';
import { createModelPanel } from './model-panel.js';
import { createNotices } from './notices.js';
import { createOneWriter } from './one-writer.js';
import { createProgress } from './progress.js';
import { callsOver } from './rpc.js';
import { followServed, readServed, servedModel } from './served.js';
import { createSelectionPanel } from './selection.js';
import { createSentencesPanel } from './sentences.js';
import { createStatus } from './status.js';
import { createTabs } from './tabs.js';
import { createViewer } from './viewer.js';

const byId = (id) => document.getElementById(id);
const announce = (message) => (byId('announcements').textContent = message);
const notices = createNotices(byId('notices'));

const worker = new Worker(new URL('./library-worker.js', import.meta.url), { type: 'module', name: 'halfclip-page' });
worker.addEventListener('error', ({ message }) =>
  notices.show('worker', `The page's worker stopped. ${message ?? ''}`, { retry: () => location.reload() }),
);
const library = callsOver(worker, (event, detail) => EVENTS[event](detail));

const album = new Album();
const ACTIONS = {
  open: (id) => viewer.open(id),
  similar: (id) => album.get(id).ready && panel.lookLike(id),
  /** Hides pictures; shows them again where all of them are hidden. */
  hide(chosen) {
    if (!writer?.isWriter) return;
    const ids = chosen.flatMap((id) => album.together(id));
    const hidden = !ids.every((id) => album.get(id).hidden);
    album.update(ids, { hidden });
    finder.refilter();
    library.hide(ids, hidden);
  },
  remove(chosen) {
    if (!writer?.isWriter) return;
    const what = chosen.length === 1 ? `${album.get(chosen[0]).name} is` : `${plural(chosen.length, 'picture')} are`;
    const ids = chosen.flatMap((id) => album.together(id));
    album.remove(ids);
    finder.refilter();
    library.remove(ids);
    announce(`${what} removed from this page.`);
  },
};
const grid = new Grid(byId('grid'), { album, thumbnails: (ids) => library.thumbnails(ids), on: ACTIONS });
const finder = new Finder({ library, album, grid, notices, announce });
const panel = createFindPanel({ finder, album, grid });
const clips = createClips({ library, notices });
const viewer = createViewer({ library, album, clips, grid, on: ACTIONS });
const status = createStatus();
const progress = createProgress({ library, announce });
const mayWrite = () => Boolean(writer?.isWriter);
const hub = new URLSearchParams(location.search).get('hub') ?? undefined;
const models = createModelPanel({ library, hub, notices, announce, removeEverything, mayWrite });
let tellOpen; // resolves `opening`
const opening = new Promise((resolve) => (tellOpen = resolve));
createIntake({ library, clips, notices, opening, mayWrite, lookLikeImage: panel.lookLikeImage });
createExport({ library, album, finder, grid, notices });
createSelectionPanel({ grid, on: ACTIONS, announce });
const sentences = createSentencesPanel({ library, notices, announce });
const tabs = createTabs(document.querySelector('[role=tablist]'), {
  'tab-compare': () => sentences.show(),
  'tab-model': () => models.render(),
});
const examples = createExamples({
  query: byId('query'),
  sentences: byId('sentences'),
  onChange: () => !byId('panel-compare').hidden && sentences.show(),
});
byId('choose-model').addEventListener('click', () => tabs.select(byId('tab-model')));

const EVENTS = {
  pictures: (pictures) => album.put(pictures),
  ready: (pictures) => album.read(pictures),
  lost(ids) {
    grid.forget(ids);
    album.remove(ids);
  },
  failed(failures) {
    for (const { id, message } of failures) album.update([id], { problem: message });
    showUnreadable();
  },
  progress: (figures) => progress.show(figures),
  tower(tower) {
    status.show(tower);
    progress.showTower(tower);
    models.showTower(tower);
  },
  model({ key }) {
    byId('bundled').hidden = key !== 'halfclip-emoji';
    examples.show(key === 'halfclip-emoji');
    status.reset();
  },
  clips: (found) => clips.add(found),
  blocked: (origin) => models.showBlocked(origin),
  stopped({ name, message }) {
    const text =
      name === 'QuotaExceededError'
        ? 'The disk is full, or this browser gives the page no more of it. What is read already stays; make room, and go on.'
        : `Pictures could not be read on. ${message}`;
    notices.show('image', text, { retry: () => library.resume() });
  },
};

/** Pictures that cannot be read leave again when that has been said. */
function showUnreadable() {
  const failed = album.all().filter(({ problem }) => problem);
  const reasons = failed
    .slice(0, 3)
    .map(({ name, problem }) => (problem.includes(name) ? problem : `${name}: ${problem}`));
  const more = failed.length > 3 ? ` … and ${failed.length - 3} more` : '';
  const count = failed.length === 1 ? '1 picture' : `${failed.length} pictures`;
  notices.show('unreadable', `${count} could not be read. ${reasons.join(' · ')}${more}`, {
    dismissed: () => library.remove(failed.map(({ id }) => id)),
  });
}

async function removeEverything() {
  await library.removeEverything();
  grid.forget(album.all().map(({ id }) => id));
  album.clear();
  finder.look({ words: '', picture: undefined, image: undefined });
  byId('query').value = '';
  announce('Everything is removed.');
}

// Beginning ------------------------------------------------------------------------------------------------------------

/** Folders that were added before, and that the browser wants to be asked about again. */
function askForFolders(closed) {
  if (closed.length === 0) return notices.clear('folders');
  const names = closed.map(({ name }) => `“${name}”`).join(', ');
  notices.show('folders', `What is new in ${names} is found once this page may read there again.`, {
    action: {
      label: 'Give access',
      async run() {
        for (const { handle } of closed) await handle.requestPermission({ mode: 'read' });
        askForFolders(await library.closedFolders());
        await library.readFolders();
      },
    },
  });
}

async function becomeWriter() {
  await library.begin();
  if (opened.isKept) navigator.storage.persist?.();
  askForFolders(opened.closed);
  await library.readFolders();
  if (served.folder)
    followServed({ library, notices }).catch(({ message }) =>
      notices.show('served', `The pictures of “${served.folder}” cannot be shown. ${message}`),
    );
}

function becomeReader() {
  notices.show(
    'tabs',
    'These pictures are open in another tab, which adds and removes them. Here they can be searched.',
    {
      action: { label: 'Go on here', run: () => writer.take() },
    },
  );
  return library.pause();
}

const parameters = new URLSearchParams(location.search);
const given = Object.fromEntries(
  ['model', 'weights', 'imageWeights', 'textWeights', 'dtype', 'hub']
    .filter((name) => parameters.has(name))
    .map((name) => [name, parameters.get(name)]),
);
const allowWriting = (isAllowed) => {
  for (const control of document.querySelectorAll('[data-writes]')) control.disabled = !isAllowed;
};
allowWriting(false); // Firefox enables on a reload what was enabled before
let writer;
const served = await readServed();
const opened = await library.open({ given: given.model || given.weights ? given : servedModel(served) });
if (!opened.isKept)
  notices.show(
    'kept',
    'This browser keeps nothing for this page (a private window does not): pictures go when it is closed.',
  );
writer = await createOneWriter({
  onChange(isWriter) {
    allowWriting(isWriter);
    return isWriter ? becomeWriter() : becomeReader();
  },
});
tellOpen();
document.body.dataset.state = 'open';
installOffline(notices);
