// All jobs: what is being fetched, and what was since the node began.

import { h, keyed } from "./dom.js";
import { fetchForm } from "./fetching.js";
import { isOpen, jobRow } from "./job-row.js";
import { firstOverview, onOverview } from "./live.js";

export async function show(main, { signal }) {
  main.replaceChildren(h("h1", {}, "Jobs"), h("p.note", {}, "Asking the node…"));
  await firstOverview(signal);
  if (signal.aborted) return;
  const now = part("Under way", "Nothing is being fetched.");
  const over = part("Ended", "Nothing has ended since the node began.");
  main.replaceChildren(h("h1", {}, "Jobs"), h("section.card", { "aria-label": "Fetch something" }, fetchForm({ label: "Fetch a reference or ticket" })), now.node, over.node);
  onOverview((told) => {
    if (!told) return;
    now.set(told.jobs.filter(isOpen));
    over.set(told.jobs.filter((job) => !isOpen(job)));
  }, signal);
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
