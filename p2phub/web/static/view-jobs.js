// All jobs: what is being fetched, and what was since the node began.

import { get } from "./api.js";
import { h, keyed } from "./dom.js";
import { fetchForm, fetchNow } from "./fetching.js";
import { isOpen, jobRow } from "./job-row.js";
import { firstOverview, onOverview } from "./live.js";
import { doing } from "./parts.js";
import { short } from "./reference.js";
import { route } from "./router.js";
import { size } from "./units.js";

export async function show(main, { signal }) {
  main.replaceChildren(h("h1", {}, "Jobs"), h("p.note", {}, "Asking the node…"));
  await firstOverview(signal);
  if (signal.aborted) return;
  const now = part("Under way", "Nothing is being fetched.");
  const over = part("Ended", "Nothing has ended since the node began.");
  const rest = unfinished(signal);
  main.replaceChildren(h("h1", {}, "Jobs"), h("section.card", { "aria-label": "Fetch something" }, fetchForm({ label: "Fetch a reference or ticket" })), now.node, rest.node, over.node);
  onOverview((told) => {
    if (!told) return;
    now.set(told.jobs.filter(isOpen));
    over.set(told.jobs.filter((job) => !isOpen(job)));
    rest.refresh(`${told.unfinished} ${told.jobs.filter(isOpen).length}`);
  }, signal);
}

/** Fetches that began and did not end, also before the node was started: {node, refresh(mark)}. */
function unfinished(signal) {
  const list = h("ul.jobs");
  const node = h("section.card", { "aria-label": "Not ended", hidden: true }, h("h2", {}, "Not ended"), list);
  let seen = null;
  return {
    node,
    async refresh(mark) {
      if (mark === seen) return;
      seen = mark;
      const { items } = await get("unfinished", {}, signal).catch(() => ({ items: [] })); // Asked for anew with the next change.
      const open = items.filter((item) => item.job === null);
      node.hidden = !open.length;
      list.replaceChildren(...open.map((item) => h("li.job", {},
        h("div.job-head", {}, h("a", { href: route("model", item.reference ?? item.manifest) }, short(item.reference ?? item.manifest)),
          doing("Go on", () => fetchNow(item.reference ?? item.manifest, { into: item.own ? null : item.folder }), { kind: "button.small" })),
        h("div.job-line", {}, h("span", {}, item.own ? "in the own store" : item.folder), h("span", {}, [item.percent === null ? null : `${Math.floor(item.percent)}\u00a0%`, item.bytes === null ? null : `of ${size(item.bytes)}`].filter(Boolean).join(" "))))));
    },
  };
}

function part(title, nothing) {
  const list = h("ul.jobs");
  const note = h("p.note", {}, nothing);
  const fill = keyed(list, jobRow);
  return {
    node: h("section.card", { "aria-label": title }, h("h2", {}, title), list, note),
    set(jobs) {
      fill(jobs, (job) => job.id);
      note.hidden = jobs.length > 0;
    },
  };
}
