// A stream of pictures as ffmpeg writes them one after the other: PPM, a line for the size and then the pixels.

const HEAD = /^P6\s(\d+)\s(\d+)\s255\s/;
const LONGEST_HEAD = 32; // bytes

/**
 * @param {AsyncIterable<Buffer>} chunks
 * @returns {AsyncGenerator<{ data: Uint8Array, width: number, height: number }>} RGB; a picture that is cut off is left
 *   out
 */
export async function* pictures(chunks) {
  let head = Buffer.alloc(0);
  let picture = null;
  let filled = 0;
  for await (let rest of chunks) {
    while (rest.length) {
      if (!picture) {
        head = Buffer.concat([head, rest]);
        const [line, width, height] = HEAD.exec(head.toString('latin1', 0, LONGEST_HEAD)) ?? [];
        if (!line) break;
        rest = head.subarray(line.length);
        head = Buffer.alloc(0);
        picture = { data: new Uint8Array(width * height * 3), width: Number(width), height: Number(height) };
        filled = 0;
      }
      const part = rest.subarray(0, picture.data.length - filled);
      picture.data.set(part, filled);
      filled += part.length;
      rest = rest.subarray(part.length);
      if (filled < picture.data.length) continue;
      const done = picture;
      picture = null;
      yield done;
    }
  }
}
