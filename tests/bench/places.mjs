// Where contenders run: a process of Node.js, or a page in a Chromium of its own, so that each one's memory is its
// process's.

import { fork } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { launch } from '../browser/chromium.mjs';

const BUILD = fileURLToPath(new URL('../../build/', import.meta.url));

/** Resident memory of a process in bytes, now and at its highest; undefined where the system does not say. */
function residentMemory(pid) {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    const [now, peak] = ['VmRSS', 'VmHWM'].map(
      (name) => Number(new RegExp(`^${name}:\\s*(\\d+) kB`, 'm').exec(status)[1]) * 1024,
    );
    return { now, peak };
  } catch {
    return undefined;
  }
}

const CONTENDER = fileURLToPath(new URL('contender.mjs', import.meta.url));

/** A contender in a new process: `call(command, options)`, `memory()`, `close()`. */
export async function inNode(program = CONTENDER) {
  // onnxruntime leaves a file where it runs.
  const child = fork(program, {
    cwd: BUILD,
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
  let errors = '';
  child.stderr.setEncoding('utf8').on('data', (text) => {
    errors += text;
  });
  return {
    call: (command, options = {}) =>
      new Promise((resolve, reject) => {
        const ended = (code, signal) =>
          reject(new Error(`the process ended (${signal ?? code}): ${errors.slice(-2000)}`));
        child.once('exit', ended);
        child.once('message', ({ error, result }) => {
          child.removeListener('exit', ended);
          if (error) reject(new Error(error));
          else resolve(result);
        });
        child.send({ command, options });
      }),
    memory: async () => residentMemory(child.pid),
    close: () =>
      new Promise((resolve) => {
        if (child.exitCode !== null || child.signalCode !== null) return resolve();
        child.once('exit', resolve);
        child.kill();
      }),
  };
}

/** A contender in a page of `site`, which serves `program` in /bench/. */
export async function inChromium(site, program = 'contender.mjs') {
  const browser = await launch();
  const page = await browser.newPage({ bypassCSP: true }); // a peer may make workers of blobs
  await page.goto(`${site}/bench/page.html`);
  const session = await browser.newBrowserCDPSession();
  return {
    version: browser.version(),
    call(command, options = {}) {
      return page.evaluate(
        async ([program, name, settings]) => (await import(`/bench/${program}`)).call(name, settings),
        [program, command, options],
      );
    },
    async memory() {
      const { processInfo } = await session.send('SystemInfo.getProcessInfo');
      const renderers = processInfo
        .filter(({ type }) => type === 'renderer')
        .map(({ id }) => residentMemory(id))
        .filter(Boolean);
      return renderers.sort((a, b) => b.peak - a.peak)[0];
    },
    /** The processor's time of all of the browser's processes, in ms. */
    async processorTime() {
      const { processInfo } = await session.send('SystemInfo.getProcessInfo');
      return processInfo.reduce((sum, { cpuTime }) => sum + cpuTime * 1000, 0);
    },
    close: () => browser.close(),
  };
}
