/** What the page asks of any server, this one included. */

/**
 * Count requests from now on, as the browser itself records them; the page's Content-Security-Policy keeps it from
 * making any to others.
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
