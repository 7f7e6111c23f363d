// Many inputs, one result each, in the inputs' order: while the caller looks at a result, the next inputs are read and
// worked on, a bounded number of them.

import { untilAborted } from '../base/abort.js';
import { HalfclipError, describe } from '../base/errors.js';
import { attempt } from '../base/realm.js';

/**
 * The results of `start` for each input. Stops reading at the first error of the iterable itself, which is thrown once
 * the results before it were given. However it ends, what is under way is aborted and the iterable closed.
 * @template Source, Result
 * @param {Iterable<Source | Promise<Source>> | AsyncIterable<Source>} sources of any length
 * @param {(source: Source, index: number, signal: AbortSignal) => Promise<Result>} start
 * @param {object} options
 * @param {number} options.ahead how many inputs besides the one that the caller waits for may be under way or done
 * @param {(AbortSignal | null | undefined)[]} options.signals the first that is aborted ends it with its reason
 * @returns {AsyncGenerator<Result, void, undefined>}
 */
export async function* inOrder(sources, start, { ahead, signals }) {
  const own = new AbortController();
  const { signal } = own;
  const abort = ({ target }) => own.abort(target.reason);
  const linked = signals.filter(Boolean);
  for (const outer of linked) {
    outer.addEventListener('abort', abort);
    if (outer.aborted) own.abort(outer.reason);
  }

  const underWay = [];
  // A signal for each: Node.js warns of one that many wait for.
  const running = new Set();
  signal.addEventListener('abort', () => running.forEach((one) => one.abort(signal.reason)));
  let iterator;
  let count = 0;
  let open = true;
  let failure = null;
  let wanted = 0; // 1 while the caller waits
  let reading = null;
  let broken = true; // not by the caller's leaving

  const readOne = async () => {
    let next;
    try {
      next = await iterator.next();
      if (next.done) {
        open = false;
        return;
      }
      const source = await next.value;
      if (!signal.aborted) underWay.push(started(source));
    } catch (error) {
      if (next) close(iterator, true);
      open = false;
      failure = { error };
    }
  };
  const started = (source) => {
    const one = new AbortController();
    running.add(one);
    const result = start(source, count++, one.signal);
    const ended = () => running.delete(one);
    result.then(ended, ended); // what it throws, when its turn comes
    return result;
  };
  const readAhead = () => {
    if (reading || !open || signal.aborted || underWay.length >= ahead + wanted) return;
    reading = readOne().finally(() => {
      reading = null;
      readAhead();
    });
  };

  try {
    signal.throwIfAborted();
    iterator = iteratorOf(sources);
    for (;;) {
      wanted = 1;
      readAhead();
      while (!underWay.length && open) await untilAborted(reading, signal);
      if (!underWay.length) break;
      const result = await untilAborted(underWay[0], signal);
      underWay.shift();
      wanted = 0;
      readAhead();
      broken = false;
      yield result;
      broken = true;
      signal.throwIfAborted();
    }
    if (failure) throw failure.error;
  } finally {
    own.abort();
    for (const outer of linked) outer.removeEventListener('abort', abort);
    if (open && iterator) await close(iterator, broken || reading);
  }
}

function iteratorOf(sources) {
  const isObject = sources !== null && typeof sources === 'object' && !ArrayBuffer.isView(sources);
  const make = isObject && attempt(() => sources[Symbol.asyncIterator] ?? sources[Symbol.iterator]);
  if (typeof make !== 'function') {
    throw new HalfclipError(
      'input/type',
      `the sources are ${describe(sources)}, expected an array, an iterable or an async iterable`,
    );
  }
  return make.call(sources);
}

/**
 * Tells an iterator that no more will be read; waits for its answer as `for await` does, unless the caller has
 * something else to hear, or it may never come.
 */
async function close(iterator, hasty) {
  const closing = (async () => iterator.return?.())();
  if (!hasty) return closing;
  closing.catch(() => {});
}
