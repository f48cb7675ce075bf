/** Counts the requests of the page to any server, including its own. */

/**
 * Counts requests from now on, as recorded by the browser. The page's Content-Security-Policy blocks requests to other
 * servers.
 *
 * @param {(count: number) => void} show
 */
export function countRequests(show) {
  let count = 0;
  show(count);
  new PerformanceObserver((entries) => {
    count += entries.getEntries().length;
    show(count);
  }).observe({ type: "resource" });
}
