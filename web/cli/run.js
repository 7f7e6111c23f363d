// One pass over the inputs of a command: each result as soon as it is there, each failure reported, how far it is on a
// terminal.

import { printable } from '../base/errors.js';
import { HalfclipError } from '../node/index.js';
import { Unfit } from './fields.js';
import { clearStatus, complain } from './terminal.js';

/** The inputs that failed; what is reported when a run ends early by --fail-fast, or at its end. */
export class FailedInputs extends Error {}

const describeFailure = ({ where }, error) => {
  const message = error instanceof HalfclipError ? `${error.code}: ${error.message}` : printable(error.message);
  return where ? `${where}: ${message}` : message;
};

/**
 * @param {{ embedAll: Function }} encoder
 * @param {AsyncIterable<import('./inputs.js').Item>} items
 * @param {object} options
 * @param {object} [options.embedding] options of embedAll()
 * @param {boolean} [options.failFast]
 * @param {AbortSignal} options.signal
 * @param {import('./terminal.js').Counter} options.counter
 * @param {(item: import('./inputs.js').Item, vector: Float32Array, outcome: object) => unknown} use outcome: as the
 *   encoder gives it
 * @param {(item: import('./inputs.js').Item, error: Error) => unknown} [tell] who hears of an input that failed, in its
 *   turn; without it, it is reported and counts as failed
 * @returns {Promise<{ done: number, failed: number }>} how many inputs there were, and how many of them failed
 */
export async function runOver(encoder, items, { embedding, failFast, signal, counter }, use, tell) {
  counter.begin();
  const waiting = []; // items that were read, in order
  let [done, failed] = [0, 0];

  async function* sources() {
    for await (const item of items) {
      waiting.push(item);
      if (!item.error) yield item.source;
      else await finishUnread(); // now, where nothing before it is under way: there may be no further input for long
    }
  }

  async function finish(item, error) {
    done++;
    counter.step();
    if (!error) return;
    if (tell) {
      await tell(item, error);
      return;
    }
    failed++;
    const failure = describeFailure(item, error);
    if (failFast) throw new FailedInputs(failure);
    await complain(failure);
  }

  async function finishUnread() {
    while (waiting[0]?.error) {
      const item = waiting.shift();
      await finish(item, item.error);
    }
  }

  try {
    for await (const outcome of encoder.embedAll(sources(), { ...embedding, signal })) {
      await finishUnread();
      const item = waiting.shift();
      await finish(item, outcome.error ?? (await attemptUse(item, outcome)));
    }
    await finishUnread();
  } finally {
    clearStatus();
  }
  return { done, failed };

  async function attemptUse(item, outcome) {
    try {
      await use(item, outcome.vector, outcome);
      return undefined;
    } catch (error) {
      if (error instanceof Unfit) return error;
      throw error;
    }
  }
}

/** Ends a command whose results are all there, but not of all inputs. */
export function checkFailed({ done, failed }) {
  if (failed) throw new FailedInputs(`${failed} of ${done} input${done === 1 ? '' : 's'} failed`);
}
