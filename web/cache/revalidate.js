// Whether files behind URLs are still what they were: one conditional request for each (RFC 9110, section 13), of which
// no body is read.

import { isNode } from '../base/platform.js';
import { discard, request } from '../network/request.js';
import { isTransient } from '../network/retry.js';

const PATIENCE = 10_000; // milliseconds, after which a network counts as none

/** Whether a failure means that a server is out of reach, so that what was kept has to do. */
export const isUnreachable = ({ code, status }) => code === 'http/network' || isTransient(status);

/**
 * Compares the versions of files with what their servers have now. A server that cannot be reached, or is not well,
 * leaves things as they are.
 * @param {{ url: string, etag?: string | null, modified?: string | null, size?: number }[]} versions at least one
 * @param {{ fetch?: typeof fetch, signal?: AbortSignal }} options
 * @returns {Promise<{ same: boolean, fetched: number }>} fetched: bytes of bodies
 */
export async function compareVersions(versions, options) {
  const answers = await Promise.all(versions.map((version) => compare(version, options)));
  return {
    same: answers.every(({ same }) => same),
    fetched: answers.reduce((sum, { fetched }) => sum + fetched, 0),
  };
}

async function compare({ url, etag, modified, size }, { fetch, signal }) {
  // Not HEAD, which signed addresses refuse; a server without ranges sends all, and is stopped.
  const headers = { range: 'bytes=0-0' };
  // A page would have to ask another host's consent for these first. The answer's validators are compared in any case.
  if (isNode || isSameOrigin(url)) {
    if (etag) headers['if-none-match'] = etag;
    else headers['if-modified-since'] = modified;
  }
  let response;
  try {
    response = await request(url, { headers, fetch, cache: 'no-store', signal, stall: PATIENCE });
  } catch (error) {
    if (signal?.aborted) throw signal.reason;
    if (isUnreachable(error)) return { same: true, fetched: 0 };
    throw error;
  }
  discard(response);
  if (response.status === 304 || isTransient(response.status)) return { same: true, fetched: 0 };
  return {
    same: response.ok && isSame(response.headers, { etag, modified, size }),
    fetched: response.status === 206 ? 1 : 0,
  };
}

function isSame(headers, { etag, modified, size }) {
  const [, total] = /\/(\d+)$/.exec(headers.get('content-range') ?? '') ?? [];
  if (total !== undefined && size !== undefined && Number(total) !== size) return false;
  const found = headers.get('etag');
  if (etag && found) return weak(etag) === weak(found);
  return Boolean(modified) && modified === headers.get('last-modified');
}

/** ETags are compared weakly: a server that compresses on the way marks them so. */
const weak = (etag) => etag.replace(/^W\//, '');

function isSameOrigin(url) {
  return new URL(url).origin === globalThis.location?.origin;
}
