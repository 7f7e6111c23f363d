// Weights behind a URL.

import { RemoteFile } from '../network/remote-file.js';
import { ForwardSource } from './forward-source.js';
import { Source } from './source.js';

const REQUESTS_AT_ONCE = 4;

/** A URL whose server sends ranges. */
class UrlSource extends Source {
  parallel = REQUESTS_AT_ONCE;
  #siblings = [];
  #remote;
  #options;

  constructor(remote, options) {
    super(remote.name, remote.size);
    this.#remote = remote;
    this.#options = options;
  }

  get fetched() {
    return this.#remote.fetched;
  }

  get versions() {
    return [
      { url: this.#remote.url, ...this.#remote.validator },
      ...this.#siblings.flatMap(({ versions }) => versions),
    ];
  }

  read(begin, end) {
    return this.#remote.read(begin, end);
  }

  async measure() {
    this.size = await this.#remote.measure();
  }

  async sibling(name) {
    const { url } = this.#remote;
    let place;
    try {
      place = new URL(name, url);
    } catch {
      return super.sibling(name); // data: and blob: have nothing beside them
    }
    place.search = new URL(url).search; // where that holds a token, it is for the folder
    const source = await openUrl(place.href, this.#options);
    this.#siblings.push(source);
    return source;
  }

  /**
   * Every answer is compared with the first one: this is for files that belong together, of which one may have changed
   * after it was read.
   */
  recheck() {
    return this.#remote.recheck();
  }

  /**
   * The same file by ranges, where it came whole only because that was asked for; null where the server sends no less.
   */
  async reopen() {
    if (!this.#options.whole) return null;
    this.#remote.close();
    return openUrl(this.#remote.url, { ...this.#options, whole: false });
  }

  async close() {
    this.#remote.close();
  }
}

/**
 * The file behind a URL: by ranges, or as a stream where it comes in one piece, as asked or because its server sends no
 * ranges.
 */
export async function openUrl(url, options) {
  const remote = await RemoteFile.open(url, options);
  const source = new UrlSource(remote, options);
  return remote.whole ? new ForwardSource(remote.whole, source) : source;
}
