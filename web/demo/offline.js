// The service worker: the page starts without a network, as it was when it was last there. The build puts the names of
// its files (FILES) and a digest of them (VERSION) before this, and the script beside the package's, so that its scope
// has both.
//
// All files of a version are in one cache and come from there, so that a page never runs scripts of two. A new version
// is fetched beside it, and takes its place when the visitor says so. Pictures, vectors and models lie elsewhere: no
// version touches them.

const PREFIX = 'halfclip-page ';
const CACHE = PREFIX + VERSION;
/** What is kept once it was needed: which module of several fits, the engine decides. */
const KEPT = /\.wasm$/;

const inScope = (name) => new URL(name, registration.scope).href;

addEventListener('install', (event) => event.waitUntil(install()));

async function install() {
  const cache = await caches.open(CACHE);
  const used = new Set();
  for (const name of await formerCaches()) {
    for (const { url } of await (await caches.open(name)).keys()) if (KEPT.test(url)) used.add(url);
  }
  const all = [...FILES.map(inScope), ...used];
  await cache.addAll(all.map((url) => new Request(url, { cache: 'no-cache' })));
}

addEventListener('activate', (event) => event.waitUntil(activate()));

async function activate() {
  for (const name of await formerCaches()) await caches.delete(name);
  await clients.claim();
}

const formerCaches = async () => (await caches.keys()).filter((name) => name.startsWith(PREFIX) && name !== CACHE);

addEventListener('message', ({ data }) => data === 'take over' && skipWaiting());

addEventListener('fetch', (event) => {
  const { request } = event;
  const url = new URL(request.url);
  url.search = url.hash = '';
  if (request.method === 'GET' && url.href.startsWith(registration.scope)) event.respondWith(answer(request, url.href));
});

async function answer(request, url) {
  const cache = await caches.open(CACHE);
  const found = await cache.match(url);
  if (found) return rangeOf(request, found);
  const response = await fetch(request);
  if (KEPT.test(url) && response.status === 200) await cache.put(url, response.clone()).catch(() => {}); // a full disk
  return response;
}

/** The part of a whole answer that was asked for. */
async function rangeOf(request, response) {
  const [, begin, end] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.get('Range') ?? '') ?? [];
  if (begin === undefined) return response;
  const blob = await response.blob();
  const to = end ? Math.min(Number(end) + 1, blob.size) : blob.size;
  const headers = new Headers(response.headers);
  headers.set('Content-Range', `bytes ${begin}-${to - 1}/${blob.size}`);
  headers.set('Content-Length', String(to - begin));
  return new Response(blob.slice(Number(begin), to), { status: 206, headers });
}
