/** Serves the page from the browser's cache, and from the network only files that are not cached. */

const VERSION = "__VERSION__";
const FILES = __FILES__;

addEventListener("install", (event) => {
  event.waitUntil(
    caches.open(VERSION).then((cache) => cache.addAll(FILES.map((file) => new Request(file, { cache: "reload" })))),
  );
  skipWaiting();
});

addEventListener("activate", (event) => {
  const deleteOldVersions = async () => {
    const names = await caches.keys();
    await Promise.all(names.filter((name) => name !== VERSION).map((name) => caches.delete(name)));
    await clients.claim();
  };
  event.waitUntil(deleteOldVersions());
});

addEventListener("fetch", (event) => {
  if (event.request.method !== "GET") return;
  const respond = async () => {
    const cache = await caches.open(VERSION);
    return (await cache.match(event.request, { ignoreSearch: true })) ?? fetch(event.request);
  };
  event.respondWith(respond());
});

addEventListener("message", (event) => {
  const save = async () => {
    const cache = await caches.open(VERSION);
    const missing = [];
    for (const url of event.data) if (!(await cache.match(url))) missing.push(url);
    await cache.addAll(missing);
  };
  event.waitUntil(
    save().then(
      () => event.ports[0].postMessage(true),
      () => event.ports[0].postMessage(false),
    ),
  );
});
