// How the cache's files are called, so that it never touches anybody else's: a prefix, a hash, and the word that an
// entry begins or ends with.

const PREFIX = 'halfclip-';
// Milliseconds after which a temporary file belongs to nobody: its writer has been killed, or its page closed.
const ABANDONED = 3_600_000;

export const MAGIC = 'halfclip';
const HEAD = 64; // bytes within which a shard says so too

export const entryFile = (name) => `${PREFIX}${name}.tower`;
export const usedFile = (name) => `${PREFIX}${name}.used`;
export const temporaryFile = (name) => `${PREFIX}${name}.${crypto.randomUUID()}.tmp`;

/** The name of the entry that a file holds, or null. */
export const nameOfEntry = (file) => /^halfclip-([0-9a-f]{32})\.tower$/.exec(file)?.[1] ?? null;

/** Whether a file was made by a writer that is gone. */
export const isAbandoned = (file, modified) =>
  /^(halfclip-)?[0-9a-f]{32}\.[0-9a-f-]{36}\.tmp$/.test(file) && Date.now() - modified > ABANDONED;

/** Whether a file was an entry before entries had a prefix. Its metadata may hold signed addresses. */
export const isFormerEntry = (file) => /^[0-9a-f]{32}\.(tower|used)$/.test(file);

/** Whether what a reader (see tower-cache.js) reads is an entry, or was one before it was damaged. */
export async function isMarked(reader) {
  const { size } = reader;
  const isIn = (bytes) => String.fromCharCode(...bytes).includes(MAGIC);
  return (
    isIn(await reader.bytes(Math.max(0, size - MAGIC.length), size)) ||
    isIn(await reader.bytes(0, Math.min(HEAD, size)))
  );
}
