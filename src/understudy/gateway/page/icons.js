// A shape for every state, so that none is told by colour alone.

import { draw } from "./dom.js";

const SHAPES = {
  closed: "M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1zM7 11 4 8l1.2-1.2L7 8.6l3.8-3.8L12 6z",
  open: "M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1zm3.4 9.2-1.2 1.2L8 9.2l-2.2 2.2-1.2-1.2L6.8 8 4.6 5.8l1.2-1.2L8 6.8l2.2-2.2 1.2 1.2L9.2 8z",
  "half-open": "M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1zm0 12.4V2.6a5.4 5.4 0 0 1 0 10.8z",
  benched: "M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1zM5.2 5h2v6h-2zm3.6 0h2v6h-2z",
  exhausted: "M3 1h10v2l-3.5 5L13 13v2H3v-2l3.500-5L3 3zM5.200 3 8 7l2.800-4z",
  easing: "M2 11h2.500v4H2zm4.700-4h2.500v8H6.700zm4.700-5h2.500v13h-2.500z",
  drained: "M7 1h2v7h3l-4 4.500L4 8h3zM3 13.500h10V15H3z",
  "no-key": "M5 4.500a3.500 3.500 0 1 0 3.300 4.700H11v2h2v-2h1.500v-2H8.300A3.500 3.500 0 0 0 5 4.500zM5 6.500a1.500 1.500 0 1 1 0 3 1.500 1.500 0 0 1 0-3z",
  missing: "M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1zM4 7.200h8v1.600H4z",
  waiting: "M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1zm.8 7.800H4.500V7.200h2.700V3.500h1.600z",
  answered: "M6.500 12.500 2 8l1.500-1.500 3 3 6-6L14 5z",
  "failed-over": "M2 4h6a4 4 0 0 1 0 8H5v2.500L1.500 11 5 7.500V10h3a2 2 0 0 0 0-4H2z",
  failed: "m8 6.500 3.500-3.500L13 4.500 9.500 8l3.500 3.500-1.500 1.500L8 9.500 4.500 13 3 11.500 6.500 8 3 4.500 4.500 3z",
  cancelled: "M3 7h10v2H3z",
  running: "M3 8a1.500 1.500 0 1 1-3 0 1.500 1.500 0 0 1 3 0zm6.500 0a1.500 1.500 0 1 1-3 0 1.500 1.500 0 0 1 3 0zM16 8a1.500 1.500 0 1 1-3 0 1.500 1.500 0 0 1 3 0z",
  change: "M8 1l7 7-7 7-7-7z",
};

export function icon(name) {
  return draw("svg", { class: "icon", viewBox: "0 0 16 16", "aria-hidden": "true" }, draw("path", { d: SHAPES[name] ?? SHAPES.change, "fill-rule": "evenodd" }));
}

export function turnInto(svg, name) {
  const path = svg.firstElementChild;
  const shape = SHAPES[name] ?? SHAPES.change;
  if (path.getAttribute("d") !== shape) path.setAttribute("d", shape);
}
