// The rates of the last minute as a line, drawn in SVG so that it takes the colours of the page.

import { svg } from "./dom.js";
import { rate } from "./units.js";

const WIDE = 240;
const HIGH = 44;

/** Return {node, draw(samples)}: one line for each key of `lines`, whose names are classes of the lines, too. */
export function spark(lines) {
  const shapes = lines.map((name) => svg("polyline", { class: name, fill: "none" }));
  const node = svg("svg", { class: "spark", viewBox: `0 0 ${WIDE} ${HIGH}`, preserveAspectRatio: "none", role: "img" }, ...shapes);
  return {
    node,
    draw(told) {
      const samples = told.length === 1 ? [...told, ...told] : told; // A line from the first on.
      const top = Math.max(1, ...samples.flatMap((sample) => lines.map((name) => sample[name])));
      const step = WIDE / Math.max(1, samples.length - 1);
      lines.forEach((name, at) => {
        const points = samples.map((sample, index) => `${(index * step).toFixed(1)},${(HIGH - 1 - (sample[name] / top) * (HIGH - 3)).toFixed(1)}`);
        shapes[at].setAttribute("points", points.join(" "));
      });
      node.setAttribute("aria-label", `Rates of the last minute, at most ${rate(top > 1 ? top : 0)}`);
    },
  };
}
