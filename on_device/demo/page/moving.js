/** Lists whose entries glide to their new places. */

const FRAMES = { duration: 240, easing: "cubic-bezier(0.2, 0, 0, 1)" };
const stillness = matchMedia("(prefers-reduced-motion: reduce)");

/**
 * Make a list hold these elements in this order. Those that it holds already stay the same and keep the focus; where
 * the focused one goes, its successor at the same place is focused.
 *
 * @param {HTMLElement} list
 * @param {HTMLElement[]} elements
 */
export function arrange(list, elements) {
  const before = new Map(Array.from(list.children, (child) => [child, child.getBoundingClientRect()]));
  const focused = document.activeElement;
  const place = [...list.children].findIndex((child) => child.contains(focused));
  for (const child of [...list.children]) if (!elements.includes(child)) child.remove();
  for (const [index, element] of elements.entries()) {
    if (list.children[index] !== element) list.insertBefore(element, list.children[index] ?? null);
  }
  if (place >= 0) {
    const heir = elements[Math.min(place, elements.length - 1)];
    (focused.isConnected ? focused : heir?.querySelector("button"))?.focus({ preventScroll: true });
  }
  if (!stillness.matches) for (const element of elements) glide(element, before.get(element));
}

/** @param {HTMLElement} element @param {DOMRect | undefined} from where it was; undefined: nowhere */
function glide(element, from) {
  for (const running of element.getAnimations()) running.cancel();
  const to = element.getBoundingClientRect();
  const start = from ? { translate: `${from.left - to.left}px ${from.top - to.top}px` } : { opacity: 0 };
  element.animate([start, from ? { translate: "0 0" } : { opacity: 1 }], FRAMES);
}
