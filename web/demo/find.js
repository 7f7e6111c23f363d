// The first panel: words, a picture, or both, put the pictures in order; those that fit come first, under a title that
// says how many they are.

import { plural } from './format.js';

/** Milliseconds between two orderings while pictures come in. */
const ORDERING_PAUSE = 400;

export class Finder {
  #library;
  #album;
  #grid;
  #notices;
  #announce;
  #query = { words: '' };
  #found = null; // { ids, scores, threshold } of the query
  #groups = null; // of look-alikes, while these are shown
  #isLooking = false;
  #again = false;
  #soon;
  #listeners = [];
  /** What is shown, best first, and its scores: what fits if words were given, else everything. */
  shown = { ids: [], scores: undefined };

  constructor({ library, album, grid, notices, announce }) {
    this.#library = library;
    this.#album = album;
    this.#grid = grid;
    this.#notices = notices;
    this.#announce = announce;
    album.onChange((ids) => {
      grid.refresh(ids);
      this.#arrangeSoon();
    });
  }

  onChange(listener) {
    this.#listeners.push(listener);
  }

  get query() {
    return this.#query;
  }

  /**
   * Looks for something else.
   * @param {{ words?: string, picture?: number, image?: Blob, name?: string }} changes  to what is looked for
   */
  look(changes) {
    this.#query = { ...this.#query, ...changes };
    this.#groups = null;
    return this.#refresh();
  }

  /** Shows groups of pictures that are nearly the same; null ends that. */
  async showDuplicates(above) {
    this.#groups = above === null ? null : await this.#library.duplicates(above);
    this.#arrange();
  }

  /** The filter has changed. */
  refilter() {
    this.#arrange();
  }

  // Of several queries that come while one is looked for, the last one is looked for next.
  async #refresh() {
    this.#again = true;
    if (this.#isLooking) return;
    this.#isLooking = true;
    try {
      while (this.#again) {
        this.#again = false;
        const query = this.#query;
        const isEmpty = !query.words.trim() && query.picture === undefined && !query.image;
        const { words, picture, image } = query;
        const found = isEmpty ? null : await this.#library.search({ words, picture, image });
        if (query !== this.#query) continue;
        this.#found = found;
        this.#notices.clear('search');
        this.#arrange();
        this.#announceSoon();
      }
    } catch (error) {
      const retry = () => this.#refresh();
      this.#notices.show('search', `The search could not be done. ${error.message}`, { retry });
    } finally {
      this.#isLooking = false;
    }
  }

  #arrangeSoon() {
    this.#soon ??= setTimeout(() => {
      this.#soon = undefined;
      const { picture } = this.#query;
      const isGone = picture !== undefined && !this.#album.get(picture); // then what was found like it stays
      if (this.#found && !isGone) this.#refresh();
      else this.#arrange();
    }, ORDERING_PAUSE);
  }

  #arrange() {
    const sections = this.#groups ? this.#ofGroups() : this.#found ? this.#ofQuery() : this.#ofAll();
    this.#grid.show(sections);
    for (const listener of this.#listeners) listener();
  }

  #ofAll() {
    const ids = this.#album.shown();
    this.shown = { ids };
    return [{ ids }];
  }

  #ofGroups() {
    const groups = this.#groups
      .map((ids) => {
        const once = this.#album.oncePerClip();
        return ids.filter((id) => this.#album.shows(id) && once(id));
      })
      .filter(({ length }) => length > 1);
    this.shown = { ids: groups.flat() };
    if (groups.length === 0) return [{ title: 'No two pictures are this much alike', ids: [] }];
    return groups.map((ids, i) => ({ title: `Group ${i + 1}: ${plural(ids.length, 'picture')}`, ids }));
  }

  #ofQuery() {
    const { ids, scores, threshold } = this.#found;
    const once = this.#album.oncePerClip();
    let shownIds = new Int32Array(ids.length);
    let shownScores = new Float32Array(ids.length);
    let count = 0;
    for (let i = 0; i < ids.length; i++) {
      if (!this.#album.shows(ids[i]) || !once(ids[i])) continue;
      shownIds[count] = ids[i];
      shownScores[count++] = scores[i];
    }
    shownIds = shownIds.subarray(0, count);
    shownScores = shownScores.subarray(0, count);
    if (threshold === undefined) {
      this.shown = { ids: shownIds, scores: shownScores };
      return [{ ids: shownIds, scores: shownScores, isBest: true }];
    }
    const end = shownScores.findIndex((score) => score < threshold);
    const fits = end < 0 ? shownIds.length : end;
    this.shown = { ids: shownIds.subarray(0, fits), scores: shownScores.subarray(0, fits) };
    const words = `“${this.#query.words.trim()}”`;
    const learned = `score ${threshold.toFixed(2)} and more`;
    const rest = { ids: shownIds.subarray(fits), scores: shownScores.subarray(fits) };
    if (fits === 0) return [{ ...rest, title: `Nothing fits ${words} (${learned}). The nearest are` }];
    const verb = fits === 1 ? 'fits' : 'fit';
    return [
      { ...this.shown, title: `${plural(fits, 'picture')} ${verb} ${words} (${learned})`, isBest: true },
      { ...rest, title: rest.ids.length > 0 ? 'Less likely' : undefined },
    ];
  }

  #speaking;
  #announceSoon() {
    clearTimeout(this.#speaking);
    if (!this.#found) return;
    const { words, name } = this.#query;
    const subject = [words.trim() && `“${words.trim()}”`, name && `Like ${name}`].filter(Boolean).join(', ');
    this.#speaking = setTimeout(() => {
      const names = [...this.#grid.order].slice(0, 3).map((id) => this.#album.get(id)?.name);
      const { length } = this.shown.ids;
      const fits = length === 0 ? 'nothing fits' : `${plural(length, 'picture')} in order`;
      this.#announce(`${subject}: ${fits}. First: ${names.join(', ')}.`);
    }, 700);
  }
}
