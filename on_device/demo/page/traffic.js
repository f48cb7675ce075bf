/** The page's requests to any server, its own included. */

/**
 * Counts requests from now on, as the browser records them. The page's Content-Security-Policy forbids those to other
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
