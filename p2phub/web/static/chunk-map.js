// The chunk map: each file as a strip of its bytes, drawn by tensor; what is here is filled, what is missing is not.
//
// The strip runs left to right and wraps like text; its length goes by the bytes. Drawn in SVG, as a few paths a file,
// so that it takes the colours of the page and 400 tensors cost no 400 nodes. Each strip is a slider for the keyboard:
// the arrows go from tensor to tensor and say each one's name, size and how much of it is here; the tensors as a table
// stand beside it (view-tensors.js).

import { get } from "./api.js";
import { h, say, svg } from "./dom.js";
import { count, percent, plural, size } from "./units.js";

const ROW_PX = 15;
const GAP_PX = 3;
const CHUNK_PX = 16;
const ROWS_MAX = 12;
const FILES_SHOWN = 12;
const REFRESH_MS = 1500;

/** Return the pieces [row, x, width] of the span [start, stop) of a strip of `bytes` in rows of `width` px. Pure. */
export function pieces(start, stop, { bytes, rows, width }) {
  const found = [];
  const scale = (rows * width) / bytes;
  for (let from = start * scale, to = stop * scale; from < to - 1e-9; ) {
    const at = Math.min(rows - 1, Math.floor(from / width + 1e-9));
    const until = Math.min(to, (at + 1) * width);
    found.push([at, from - at * width, until - from]);
    if (until <= from) break;
    from = until;
  }
  return found;
}

/** How many rows a strip of so many chunks takes at a width. Pure. */
export const rowsFor = (chunks, width) => Math.max(1, Math.min(ROWS_MAX, Math.ceil((chunks * CHUNK_PX) / width)));

/** How many bytes of [start, stop) lie in the ascending ranges `held`. Pure. */
export function heldIn(held, start, stop) {
  let sum = 0;
  for (const [from, to] of held) {
    if (from >= stop) break;
    sum += Math.max(0, Math.min(to, stop) - Math.max(from, start));
  }
  return sum;
}

/** Which colour a tensor has: layers by turns, so that they can be told apart; the rest one of its own. Pure. */
export function shade(name) {
  const layer = /(?:^|[._])(?:layers?|h|blocks?|blk|block)[._](\d+)(?:[._]|$)/.exec(name);
  return layer ? (Number(layer[1]) % 2 ? "odd" : "even") : "other";
}

/** What a file's parts with names are called. Pure. */
export const nounOf = (path) => (/\.parquet$/i.test(path) ? "column" : "tensor");

/** The spans that a file is drawn by: its tensors, and what is between them. Pure. */
export function spansOf(file) {
  const spans = [];
  const parts = `${nounOf(file.path)}s`;
  let at = 0;
  for (const tensor of [...file.tensors].sort((one, other) => one.start - other.start)) {
    if (tensor.start > at) spans.push({ name: at ? `between ${parts}` : "header", start: at, stop: tensor.start, count: 0 });
    if (tensor.stop > tensor.start) spans.push(tensor);
    at = Math.max(at, tensor.stop);
  }
  if (at < file.size) spans.push({ name: at ? `after the ${parts}` : "the file", start: at, stop: file.size, count: 0 });
  return spans;
}

/** Return {node, refresh(mark)} for the map of `ref`. `refresh` asks for it anew if `mark` is another than before, at
 *  most every REFRESH_MS. */
export function chunkMap(ref, { signal }) {
  const told = h("p.note", {}, "Asking the node…");
  const strips = h("div.strips");
  const key = h("ul.legend.map-key", { hidden: true },
    ...[["even", "even layers"], ["odd", "odd layers"], ["other", "other"], ["gone", "not here"]].map(([name, label]) => h("li", {}, h(`span.swatch.${name}`), label)));
  const node = h("div.map", {}, told, key, strips);
  const shown = new Map();
  let mark;
  let asked = 0;
  let timer = null;

  async function load() {
    timer = null;
    asked = Date.now();
    try {
      draw(await get("map", { ref }, signal));
    } catch (error) {
      if (error.name !== "AbortError" && !shown.size) say(told, `There is no map yet: ${error.message}`);
    }
  }

  function draw({ files, files_total: total }) {
    const all = files.reduce((sum, file) => sum + file.size, 0);
    const held = files.reduce((sum, file) => sum + heldIn(file.held, 0, file.size), 0);
    const shownFiles = files.filter((file) => file.size).slice(0, FILES_SHOWN);
    const rest = total - shownFiles.length;
    say(told, `${percent(held, all)} of ${size(all)} is here, in ${plural(total, "file")}${rest > 0 ? `; the ${count(shownFiles.length)} largest are drawn` : ""}.`);
    key.hidden = !shownFiles.length;
    for (const file of shownFiles) {
      if (!shown.has(file.path)) {
        const strip = stripOf(file.path, signal);
        shown.set(file.path, strip);
        strips.append(strip.node);
      }
      shown.get(file.path).set(file);
    }
  }

  load();
  return {
    node,
    refresh(now) {
      if (now === mark) return;
      const first = mark === undefined;
      mark = now;
      if (!first && !timer && !signal.aborted) timer = setTimeout(load, Math.max(0, asked + REFRESH_MS - Date.now()));
    },
  };
}

function stripOf(path, signal) {
  const classes = ["gone", "even", "odd", "other", "mark"];
  const paths = Object.fromEntries(classes.map((name) => [name, svg("path", { class: name })]));
  const picture = svg("svg", { class: "strip", "aria-hidden": "true" }, ...Object.values(paths));
  const slider = h("div.strip-frame", { tabindex: 0, role: "slider", "aria-label": `${nounOf(path) === "column" ? "Columns" : "Tensors"} of ${path}`, "aria-valuemin": 1, "aria-orientation": "horizontal" }, picture);
  const which = h("p.which", {}, "");
  const part = h("span.part");
  const node = h("figure", {}, h("figcaption", {}, h("code", {}, path), part), slider, which);
  let file = null;
  let spans = [];
  let at = 0;
  let width = 0;

  const grid = () => ({ bytes: file.size, rows: rowsFor(file.chunks || spans.length, width), width });
  const shape = (list, thin) => list.map(([row, x, wide]) => {
    const drawn = thin && wide > 3 ? wide - 1 : Math.max(wide, 0.4);
    return `M${x.toFixed(1)} ${row * (ROW_PX + GAP_PX)}h${drawn.toFixed(1)}v${ROW_PX}h-${drawn.toFixed(1)}z`;
  }).join("");

  function draw() {
    width = Math.floor(slider.clientWidth);
    if (!file || width < 20) return;
    const of = grid();
    const high = of.rows * (ROW_PX + GAP_PX) - GAP_PX;
    picture.setAttribute("viewBox", `0 0 ${width} ${high}`);
    picture.setAttribute("height", high);
    const drawn = { gone: "", even: "", odd: "", other: "" };
    for (const span of spans) {
      drawn.gone += shape(pieces(span.start, span.stop, of), true);
      const colour = span.count === 0 ? "other" : shade(span.name);
      for (const [from, to] of file.held) {
        if (from >= span.stop) break;
        if (to > span.start) drawn[colour] += shape(pieces(Math.max(from, span.start), Math.min(to, span.stop), of), to >= span.stop);
      }
    }
    for (const [name, text] of Object.entries(drawn)) paths[name].setAttribute("d", text);
    mark();
  }

  function mark() {
    const span = spans[at];
    if (!span) return;
    const held = heldIn(file.held, span.start, span.stop);
    const bytes = span.stop - span.start;
    const what = `${span.name}${span.count > 1 ? ` (${plural(span.count, nounOf(path))})` : ""}: ${size(bytes)}, ${held >= bytes ? "here" : held ? `${percent(held, bytes)} here` : "not here"}`;
    slider.setAttribute("aria-valuenow", at + 1);
    slider.setAttribute("aria-valuemax", spans.length);
    slider.setAttribute("aria-valuetext", what);
    const looking = slider.matches(":hover, :focus-visible");
    say(which, looking ? what : "");
    paths.mark.setAttribute("d", looking && width ? shape(pieces(span.start, span.stop, grid()), true) : "");
  }

  function go(to) {
    at = Math.max(0, Math.min(spans.length - 1, to));
    mark();
  }

  slider.addEventListener("keydown", (event) => {
    const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, PageDown: 20, PageUp: -20, Home: -Infinity, End: Infinity };
    if (!(event.key in steps)) return;
    event.preventDefault();
    go(at + steps[event.key]);
  });
  slider.addEventListener("pointermove", (event) => {
    if (!file || !width) return;
    const box = picture.getBoundingClientRect();
    const of = grid();
    const row = Math.max(0, Math.min(of.rows - 1, Math.floor((event.clientY - box.top) / (ROW_PX + GAP_PX))));
    const byte = ((row * width + Math.max(0, Math.min(width - 1, event.clientX - box.left))) / (of.rows * width)) * file.size;
    go(spans.findIndex((span) => byte < span.stop));
  });
  for (const name of ["pointerleave", "focus", "blur"]) slider.addEventListener(name, mark);
  const watcher = new ResizeObserver(() => slider.clientWidth !== width && draw());
  watcher.observe(slider);
  signal.addEventListener("abort", () => watcher.disconnect());

  return {
    node,
    set(now) {
      file = now;
      spans = spansOf(now);
      at = Math.min(at, spans.length - 1);
      const held = heldIn(now.held, 0, now.size);
      say(part, held >= now.size ? size(now.size) : `${percent(held, now.size)} of ${size(now.size)}`);
      draw();
    },
  };
}
