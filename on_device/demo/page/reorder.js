/** Reorders lists with animations. */

const FRAMES = { duration: 240, easing: "cubic-bezier(0.2, 0, 0, 1)" };
const reducedMotion = matchMedia("(prefers-reduced-motion: reduce)");

/**
 * Makes a list contain the given elements in this order. Elements that stay in the list keep the focus. If the focused
 * element is removed, the element at its position gets the focus.
 *
 * @param {HTMLElement} list
 * @param {HTMLElement[]} elements
 */
export function reorder(list, elements) {
  const before = new Map(Array.from(list.children, (child) => [child, child.getBoundingClientRect()]));
  const focused = document.activeElement;
  const position = [...list.children].findIndex((child) => child.contains(focused));
  for (const child of [...list.children]) if (!elements.includes(child)) child.remove();
  for (const [index, element] of elements.entries()) {
    if (list.children[index] !== element) list.insertBefore(element, list.children[index] ?? null);
  }
  if (position >= 0) {
    const successor = elements[Math.min(position, elements.length - 1)];
    (focused.isConnected ? focused : successor?.querySelector("button"))?.focus({ preventScroll: true });
  }
  if (!reducedMotion.matches) for (const element of elements) animate(element, before.get(element));
}

/** @param {HTMLElement} element @param {DOMRect | undefined} from its earlier place, or undefined for a new element */
function animate(element, from) {
  for (const animation of element.getAnimations()) animation.cancel();
  const to = element.getBoundingClientRect();
  const start = from ? { translate: `${from.left - to.left}px ${from.top - to.top}px` } : { opacity: 0 };
  element.animate([start, from ? { translate: "0 0" } : { opacity: 1 }], FRAMES);
}
