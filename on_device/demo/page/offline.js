/** Saves the page for offline use, if it is served with a service worker. */

/** @returns {Promise<boolean>} whether everything is saved */
export async function saveForOffline() {
  const script = document.querySelector("meta[name=offline]")?.getAttribute("content");
  if (!script || !("serviceWorker" in navigator)) return false;
  const registration = await navigator.serviceWorker.register(script).catch(() => undefined);
  if (!registration) return false;
  const { active } = await navigator.serviceWorker.ready;
  // The runtime has two builds of its WebAssembly. The worker saves the one that this browser has loaded.
  const urls = performance.getEntriesByType("resource").map(({ name }) => name);
  const channel = new MessageChannel();
  const saved = new Promise((resolve) => {
    channel.port1.onmessage = ({ data }) => resolve(data);
  });
  active.postMessage(urls.filter((url) => url.startsWith(location.origin)), [channel.port2]);
  return saved;
}
