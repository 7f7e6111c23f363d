// Parts of README.md that programs make: between the comments `<!-- NAME: made by PROGRAM -->` and `<!-- end of NAME -->`.

import { readFile, writeFile } from 'node:fs/promises';

const README = new URL('../README.md', import.meta.url);

/** @returns {{ read(): Promise<string>, write(text: string): Promise<void> }} */
export function readmePart(name, program) {
  const [begin, end] = [`<!-- ${name}: made by ${program} -->`, `<!-- end of ${name} -->`];
  const parts = async () => {
    const text = await readFile(README, 'utf8');
    const [from, to] = [text.indexOf(begin), text.indexOf(end)];
    if (from < 0 || to < from) throw new Error(`README.md lacks the lines ${begin} and ${end}`);
    return [text.slice(0, from + begin.length), text.slice(from + begin.length, to).trim(), text.slice(to)];
  };
  return {
    read: async () => (await parts())[1],
    async write(text) {
      const [before, , after] = await parts();
      await writeFile(README, `${before}\n${text}\n${after}`);
    },
  };
}
