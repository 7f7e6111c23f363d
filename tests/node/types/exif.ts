// When photographs were taken.

import { takenAt } from 'halfclip/exif';

declare const file: Parameters<typeof takenAt>[0];

export async function year(): Promise<number | undefined> {
  const taken: string | null = await takenAt(file);
  await takenAt(new Uint8Array(10));
  await takenAt(new ArrayBuffer(10));
  // @ts-expect-error
  await takenAt('photo.jpg');
  return taken === null ? undefined : new Date(taken).getFullYear();
}
