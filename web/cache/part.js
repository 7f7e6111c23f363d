// What has come of a file, for when its load is cut off: by a closed page, a crash, an abort or a lost network. The next
// load of the same tower asks the server for the rest, if it has the same version still.
//
//   the head: HEAD bytes, JSON text and zeros | pieces in the order in which they came, each of: checksum, where it
//     begins in the file, length, all as float64 | its bytes
//
// A checksum is of the version as well: whatever two writers or a crash have made of it, only whole pieces of one
// version are taken.

import { decodeText, encodeText } from '../base/bytes.js';

export const HEAD = 4096; // bytes
const FIELDS = 24; // bytes
const PIECE = 1 << 20; // bytes at most; a multiple of 4
const FAST = 50_000; // bytes a millisecond: what comes as fast as that can come once more

export class Part {
  #create; // opens its file, which is made
  #remove;
  #about;
  #most;
  #file = null; // a promise, once there is one
  #head = new Uint8Array(0); // what it says, and of which version it is
  #pieces = []; // of loads before: { begin, end, at }, in the order of the file
  #size = HEAD;
  #opened = performance.now();
  #came = 0; // bytes, since then

  /**
   * @param {object} storage see tower-cache.js
   * @param {string} name of its entry there
   * @param {object} about JSON data: what it says about itself
   * @param {number} most how many bytes it may have
   * @param {boolean} isAnew whether what came before is of no use
   */
  static async open(storage, name, about, most, isAnew) {
    const part = new Part();
    part.#create = () => storage.grow(name, true);
    part.#remove = () => storage.remove(name);
    part.#about = about;
    part.#most = most;
    try {
      const file = await storage.grow(name);
      part.#file = Promise.resolve(file);
      if (!isAnew) await part.#list(file);
    } catch {
      // There is none, or another tab has it.
    }
    return part;
  }

  /** Whether something came before. */
  get hasBegun() {
    return this.#pieces.length > 0;
  }

  async #list(file) {
    this.#head = await file.bytes(0, HEAD);
    for (let at = HEAD; at + FIELDS < file.size; at = this.#size) {
      const [, begin, length] = new Float64Array((await file.bytes(at, at + FIELDS)).buffer);
      if (!(begin >= 0 && length > 0 && length <= PIECE && at + FIELDS + length <= file.size)) break;
      this.#pieces.push({ begin, end: begin + length, at });
      this.#size += FIELDS + length;
    }
    this.#pieces.sort((a, b) => a.begin - b.begin);
  }

  /** Says which version of the file it is; what came of another one goes. */
  async match(validator, fileBytes) {
    const text = JSON.stringify({ halfclip: 1, ...this.#about, fileBytes, validator });
    if (this.#file && decodeText(this.#head).startsWith(text)) return;
    await this.end(true);
    this.#file = null;
    this.#pieces = [];
    this.#size = HEAD;
    this.#head = new Uint8Array(HEAD);
    const bytes = encodeText(text);
    if (bytes.length > HEAD) this.#most = 0;
    else this.#head.set(bytes);
  }

  /**
   * The chunks of bytes [begin, end): those that came before, and others from `receive`, which are kept.
   * @param {(begin: number, end: number) => AsyncIterable<Uint8Array>} receive
   */
  async *read(begin, end, receive) {
    for (let at = begin; at < end;) {
      const piece = this.#pieces.find((piece) => piece.end > at) ?? { begin: end };
      if (piece.begin <= at) {
        const file = await this.#file;
        const record = await file.bytes(piece.at, piece.at + FIELDS + piece.end - piece.begin).catch(() => null);
        if (record && new Float64Array(record.buffer, 0, 1)[0] === this.#checksum(record)) {
          yield record.subarray(FIELDS + at - piece.begin, FIELDS + end - piece.begin);
          at = piece.end;
        } else this.#pieces.splice(this.#pieces.indexOf(piece), 1); // it is damaged
        continue;
      }
      const until = Math.min(end, piece.begin);
      for await (const chunk of this.keep(at, receive(at, until))) {
        at += chunk.length;
        yield chunk;
      }
      if (at < until) return;
    }
  }

  /**
   * Keeps chunks as they pass by, the first of which begins at `begin`, where they do not come so fast that this would
   * be in vain.
   */
  async *keep(begin, chunks) {
    let record;
    let length = 0;
    const write = async () => {
      const whole = length & ~3;
      if (whole) await this.#write(record.subarray(0, FIELDS + whole), begin - length);
      length = 0;
    };
    try {
      for await (const chunk of chunks) {
        this.#came += chunk.length;
        const isSlow = this.#came < FAST * (performance.now() - this.#opened);
        for (let at = 0, n; at < chunk.length; at += n) {
          n = Math.min(chunk.length - at, PIECE - length);
          begin += n;
          if (!length && !isSlow) continue;
          record ??= new Uint8Array(FIELDS + PIECE);
          record.set(chunk.subarray(at, at + n), FIELDS + length);
          length += n;
          if (length === PIECE) await write();
        }
        yield chunk;
      }
    } finally {
      await write();
    }
  }

  async #write(record, begin) {
    const at = this.#size;
    if (at + record.length > this.#most) return;
    this.#size += record.length;
    const fields = new Float64Array(record.buffer, 0, 3);
    fields.set([0, begin, record.length - FIELDS]);
    fields[0] = this.#checksum(record);
    try {
      this.#file ??= this.#make();
      await (await this.#file).write(record, at);
    } catch {
      this.#most = 0; // the disk is full, or another tab keeps the same
    }
  }

  async #make() {
    const file = await this.#create();
    await file.write(this.#head, 0);
    return file;
  }

  /** Lets go of its file, which is removed where it is of no more use. */
  async end(isUseless) {
    const file = await this.#file?.catch(() => null);
    await file?.close();
    if (isUseless) await this.#remove().catch(() => {});
  }

  /** Of all but itself, and of the head. */
  #checksum(record) {
    return sum(record.subarray(8), sum(this.#head, 0));
  }
}

/** FNV-1a, of words in place of bytes. */
function sum(bytes, hash) {
  for (const word of new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2))
    hash = Math.imul(hash ^ word, 0x01000193);
  return hash;
}
