// URLs as they are written down and shown: without what their queries may hold, the signatures and tokens of whoever
// was given them.

// Of a query's fields, those that say who may read a file, and until when, and not which file it is.
const PERMISSION =
  /^(x-[a-z]+-.*|.*(sig|token|secret|passw|auth|credential|expire|policy|(api|access|pair)[-_]?(key|id)).*|s[etv]|sk[et])$/i;

const LONGEST_NAME = 300;

/** What names a file for ever: a URL without its permissions, which are new ones each time. */
export function keyOfUrl(url) {
  const parsed = new URL(url);
  for (const name of [...parsed.searchParams.keys()]) if (PERMISSION.test(name)) parsed.searchParams.delete(name);
  return parsed.href;
}

/** How messages call a URL. */
export function nameOfUrl(url) {
  let name = String(url);
  try {
    name = keyOfUrl(url);
  } catch {
    // it is none: the message says so
  }
  return name.length > LONGEST_NAME ? `${name.slice(0, LONGEST_NAME)}…` : name; // data: URLs are whole files
}

/** A URL that may be kept: without its query, because nobody knows all the names of permissions. */
export const publicUrl = (url) => Object.assign(new URL(url), { search: '', hash: '' }).href;

/** The URL that publicUrl made of one like `url`, or of one of a file beside it, with the query that `url` has now. */
export const withQueryOf = (place, url) => Object.assign(new URL(place), { search: new URL(url).search }).href;

/** Whether a file is where `url` is, or in a folder there. */
export function isSibling(place, url) {
  try {
    return new URL(place).href.startsWith(new URL('.', url).href);
  } catch {
    return false;
  }
}
