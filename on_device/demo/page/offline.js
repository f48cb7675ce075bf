/** Keeps the page for times without a connection, where it is served with a service worker. */

/** @returns {Promise<boolean>} whether everything is kept */
export async function keepForLater() {
  const script = document.querySelector("meta[name=offline]")?.getAttribute("content");
  if (!script || !("serviceWorker" in navigator)) return false;
  const registration = await navigator.serviceWorker.register(script).catch(() => undefined);
  if (!registration) return false;
  const { active } = await navigator.serviceWorker.ready;
  // Of the program that runs the model there are two builds: the one that this browser loaded is kept.
  const urls = performance.getEntriesByType("resource").map(({ name }) => name);
  const channel = new MessageChannel();
  const answer = new Promise((resolve) => {
    channel.port1.onmessage = ({ data }) => resolve(data);
  });
  active.postMessage(urls.filter((url) => url.startsWith(location.origin)), [channel.port2]);
  return answer;
}
