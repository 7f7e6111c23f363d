// The album of the page, which counts as pictures come and go: whatever comes in whatever order, it knows the same as one
// that was told of everything at once.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Album } from '../../web/demo/album.js';

const FOLDERS = ['', 'Rome', 'Rome/day 1', 'Rome/day 2', 'Rome 2', 'home/garden/spring'];
const DAY = 86_400_000;

/** Numbers of a sequence that is the same each time. */
function sequence(seed) {
  let state = seed;
  return (below) => (state = (state * 48271) % 2147483647) % below;
}

function pictureOf(id, next) {
  const folder = FOLDERS[next(FOLDERS.length)];
  const clip = next(6) === 0 ? `clip ${next(3)}` : undefined;
  const modified = next(10) * DAY;
  return { id, name: `${id}.jpg`, path: `${folder}/${id}.jpg`, hidden: false, modified, clip };
}

const known = (album) => ({ shown: album.shown(), folders: album.folders(), size: album.size });

test('pictures that come, are read, hidden and removed are counted as if they had always been so', () => {
  const next = sequence(7);
  const album = new Album();
  const pictures = new Map();
  const filters = [
    { folder: '', from: NaN, to: NaN, hidden: false },
    { folder: 'Rome', from: NaN, to: NaN, hidden: false },
    { folder: '', from: 3 * DAY, to: 6 * DAY, hidden: true },
    { folder: 'home/garden', from: NaN, to: 8 * DAY, hidden: false },
  ];
  const some = () => [...pictures.keys()].filter(() => next(5) === 0);
  let last = 0;
  for (let step = 0; step < 300; step++) {
    const ids = some();
    [
      () => {
        const added = Array.from({ length: 1 + next(4) }, () => pictureOf(++last, next));
        for (const picture of added) pictures.set(picture.id, picture);
        album.put(added);
      },
      () => {
        const moved = ids.map((id) => pictureOf(id, next));
        for (const picture of moved) {
          picture.clip = pictures.get(picture.id).clip;
          pictures.set(picture.id, picture);
        }
        album.put(moved);
      },
      () => {
        const read = ids.map((id) => ({ id, taken: next(2) ? next(10) * DAY : undefined }));
        for (const { id, taken } of read) pictures.get(id).taken = taken ?? pictures.get(id).taken;
        album.read(read);
      },
      () => {
        const hidden = next(2) === 1;
        for (const id of ids) pictures.get(id).hidden = hidden;
        album.update(ids, { hidden });
      },
      () => {
        for (const id of ids) pictures.delete(id);
        album.remove(ids);
      },
      () => (album.filter = filters[next(filters.length)]),
    ][next(6)]();
    const told = new Album();
    told.filter = album.filter;
    told.put([...pictures.values()]);
    assert.deepEqual(known(album), known(told), `step ${step}`);
  }
  album.clear();
  assert.deepEqual(known(album), { shown: [], folders: [], size: 0 });
});
