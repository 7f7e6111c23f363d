// What goes to standard output and standard error: whole lines of results, reports of what failed, and on a terminal a
// line that shows how far it is.

import { once } from 'node:events';

const { stdout, stderr } = process;
const REDRAW = 100; // milliseconds

// A reader that has seen enough (`| head`) ends the program quietly.
stdout.on('error', (error) => {
  if (error.code === 'EPIPE') process.exit(0);
  stderr.write(`halfclip: standard output: ${error.message}\n`, () => process.exit(1));
});
stderr.on('error', () => {}); // nobody is there to be told

let status = ''; // the line that stands on the terminal

function show(text) {
  if (text === status) return;
  stderr.write(`\r\x1b[K${text}`);
  status = text;
}

/** Writes whole lines above the status line; waits for a reader that is slower. */
async function write(stream, text) {
  const shown = status;
  if (stream.isTTY) show('');
  const ready = stream.write(text);
  if (stream.isTTY) show(shown);
  if (!ready) await once(stream, 'drain');
}

/** Prints a line of results. */
export const print = (line) => write(stdout, `${line}\n`);

/** Tells what went wrong. */
export const complain = (message) => write(stderr, `halfclip: ${message}\n`);

/** Takes the status line away. */
export const clearStatus = () => show('');

/** What shows how far something is, where somebody looks; '' takes it away. */
export const statusLine = (quiet) => (quiet || !stderr.isTTY ? () => {} : show);

/** What shows the progress of a load, where somebody looks. */
export function withProgressBar(quiet) {
  if (quiet || !stderr.isTTY) return undefined;
  const width = 30;
  let last = 0;
  return ({ loaded, total }) => {
    const done = loaded === total;
    if (!done && Date.now() - last < 50) return;
    last = Date.now();
    const share = total ? loaded / total : 0;
    const bar = '█'.repeat(Math.round(share * width)).padEnd(width, '░');
    const megabytes = (bytes) => (bytes / 1e6).toFixed(1);
    show(done ? '' : total ? `${bar} ${megabytes(loaded)} of ${megabytes(total)} MB` : `${megabytes(loaded)} MB`);
  };
}

/** Shows how many inputs are done, of how many, how fast they go and how long it will take, where somebody looks. */
export class Counter {
  #enabled;
  #start = 0;
  #drawn = 0;
  #done = 0;
  #total = null;

  /**
   * @param {boolean} quiet
   * @param {() => Promise<number | null>} count finds out how many there are, if that can be known
   */
  constructor(quiet, count) {
    this.#enabled = !quiet && Boolean(stderr.isTTY);
    if (this.#enabled)
      count().then(
        (total) => (this.#total = total),
        () => {},
      ); // then it stays unknown
  }

  /** The first input is begun: what was done before, such as loading, does not count. */
  begin() {
    this.#start = performance.now();
  }

  /** One more is done. */
  step() {
    this.#done++;
    const now = performance.now();
    if (!this.#enabled || now - this.#drawn < REDRAW) return;
    this.#drawn = now;
    const seconds = (now - this.#start) / 1000;
    const rate = this.#done / seconds;
    const parts = [
      this.#total === null ? `${this.#done}` : `${this.#done} of ${this.#total}`,
      `${rate < 10 ? rate.toFixed(1) : Math.round(rate)}/s`,
    ];
    if (this.#total !== null) parts.push(`${formatSeconds(Math.max(0, this.#total - this.#done) / rate)} left`);
    show(parts.join(' · '));
  }
}

function formatSeconds(seconds) {
  const whole = Math.round(seconds);
  const pad = (n) => String(n).padStart(2, '0');
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  return hours ? `${hours}:${pad(minutes)}:${pad(whole % 60)}` : `${minutes}:${pad(whole % 60)}`;
}
