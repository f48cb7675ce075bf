/** Answers from what the browser keeps, and from the network only what is missing there. */

const VERSION = "__VERSION__";
const FILES = __FILES__;

addEventListener("install", (event) => {
  event.waitUntil(
    caches.open(VERSION).then((cache) => cache.addAll(FILES.map((file) => new Request(file, { cache: "reload" })))),
  );
  skipWaiting();
});

addEventListener("activate", (event) => {
  const clean = async () => {
    const names = await caches.keys();
    await Promise.all(names.filter((name) => name !== VERSION).map((name) => caches.delete(name)));
    await clients.claim();
  };
  event.waitUntil(clean());
});

addEventListener("fetch", (event) => {
  if (event.request.method !== "GET") return;
  const answer = async () => (await (await caches.open(VERSION)).match(event.request, { ignoreSearch: true })) ?? fetch(event.request);
  event.respondWith(answer());
});

addEventListener("message", (event) => {
  const keep = async () => {
    const cache = await caches.open(VERSION);
    const missing = [];
    for (const url of event.data) if (!(await cache.match(url))) missing.push(url);
    await cache.addAll(missing);
    return true;
  };
  event.waitUntil(
    keep().then(
      () => event.ports[0].postMessage(true),
      () => event.ports[0].postMessage(false),
    ),
  );
});
