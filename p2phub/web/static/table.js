// Tables: a caption, heads, and rows that come a page at a time, so that ten thousand cost what fifty do.

import { get } from "./api.js";
import { h } from "./dom.js";
import { count } from "./units.js";

/** Return a table. `columns`: [{name, kind: "number" | "wide" | …}], the kinds are classes of the cells; "wide" ones
 *  are left out where the page is narrow. `rows`: lists of cells, each text or a node; the first heads its row. */
export function table(caption, columns, rows = []) {
  const body = h("tbody");
  const element = h("table", {},
    h("caption", {}, caption),
    h("thead", {}, h("tr", {}, ...columns.map(({ name, kind }) => h("th", { scope: "col", class: kind ?? null }, name)))),
    body);
  const frame = h("div.scroll", { tabindex: 0, role: "region", "aria-label": caption }, element);
  const add = (more) => body.append(...more.map((cells) => row(columns, cells)));
  add(rows);
  return { node: frame, body, add };
}

/** Return one row of a table, to be put into its body. */
export function row(columns, cells) {
  return h("tr", {}, ...cells.map((cell, at) =>
    at === 0 ? h("th", { scope: "row", class: columns[at].kind ?? null }, ...[cell].flat()) : h("td", { class: columns[at].kind ?? null }, ...[cell].flat())));
}

/** Return a table of what the node lists under `what`, its first page on it: {node, rows}, where `cells(item)` makes
 *  a row. More comes by a button, whose focus goes to the first new row. `empty` is shown where there is nothing. */
export async function listed({ what, query, caption, columns, cells, empty, signal }) {
  const shown = table(caption, columns);
  const more = h("button", { type: "button" }, "Show more");
  const told = h("p.note.tail", {});
  let have = 0;
  let cursor = null;
  const load = async () => {
    const page = await get(what, { ...query, cursor }, signal);
    shown.add(page.items.map(cells));
    have += page.items.length;
    cursor = page.cursor;
    more.hidden = cursor === null || cursor === undefined;
    const total = Number.isFinite(page.total) ? page.total : null;
    told.textContent = total === null || more.hidden ? `${count(have)} shown` : `${count(have)} of ${count(total)} shown`;
    return page;
  };
  more.addEventListener("click", async () => {
    const first = have;
    more.disabled = true;
    try {
      await load();
    } catch (error) {
      if (error.name !== "AbortError") told.textContent = error.message;
      return;
    } finally {
      more.disabled = false;
    }
    shown.body.rows[first]?.querySelector("a, button")?.focus();
  });
  const { complete } = await load();
  const early = complete === false ? h("p.notice", {}, "The node has just begun, and is still going through what it holds: this is not all of it.") : null;
  if (!have) return { node: h("div", {}, early ?? "", h("div.empty", {}, empty)), rows: 0 };
  return { node: h("div", {}, early ?? "", shown.node, h("div.tail", {}, told, more)), rows: have };
}
