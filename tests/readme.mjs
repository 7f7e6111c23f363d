// Parts of README files that programs make: between the comments `<!-- NAME: made by PROGRAM -->` and `<!-- end of NAME
// -->`.

import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

const ROOT = new URL('..', import.meta.url);

/**
 * @param {string} file its path in the repository
 * @param {string} name
 * @param {string} program its path in the repository
 * @param {() => Promise<string>} make
 * @returns {{ make(): Promise<string>, read(): Promise<string>, write(): Promise<void>, command(): Promise<void> }} command: what the program
 *   does when it is run: prints the part, or with --write puts it into the file; nothing when it was imported
 */
export function readmePart(file, name, program, make) {
  const place = new URL(file, ROOT);
  const [begin, end] = [`<!-- ${name}: made by ${program} -->`, `<!-- end of ${name} -->`];
  const parts = async () => {
    const text = await readFile(place, 'utf8');
    const [from, to] = [text.indexOf(begin), text.indexOf(end)];
    if (from < 0 || to < from) throw new Error(`${file} lacks the lines ${begin} and ${end}`);
    return [text.slice(0, from + begin.length), text.slice(from + begin.length, to).trim(), text.slice(to)];
  };
  return {
    make,
    read: async () => (await parts())[1],
    async write() {
      const [before, , after] = await parts();
      await writeFile(place, `${before}\n${await make()}\n${after}`);
    },
    async command() {
      if (process.argv[1] !== fileURLToPath(new URL(`../${program}`, import.meta.url))) return;
      if (process.argv.includes('--write')) await this.write();
      else console.log(await make());
    },
  };
}
