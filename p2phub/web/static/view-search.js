// Search: what this node holds or has heard of, from publishers anywhere.

import { announce } from "./announce.js";
import { h } from "./dom.js";
import { fetchForm, fetchNow } from "./fetching.js";
import { doing, repositoryLink, tag } from "./parts.js";
import { isReference, short } from "./reference.js";
import { route } from "./router.js";
import { listed } from "./table.js";
import { date, plural, size } from "./units.js";
import { filter } from "./view-held.js";

const COLUMNS = [
  { name: "Name", kind: "name" }, { name: "Kind", kind: "wide" }, { name: "Size", kind: "number" }, { name: "Publisher", kind: "wide" },
  { name: "Licence", kind: "wide" }, { name: "Created", kind: "wide" }, { name: "Here", kind: "act" },
];

export async function show(main, { query, signal }) {
  const words = query.get("q") ?? "";
  const kind = query.get("kind") ?? "";
  const place = h("div", {}, h("p.note", {}, "Searching…"));
  main.replaceChildren(h("h1", {}, "Search"), filter("search", words, kind, "Words"));
  if (isReference(words)) {
    main.append(h("section.card.hint", { "aria-label": "A reference" }, h("h2", {}, "This is a reference"),
      h("p", {}, h("code.long", {}, short(words))),
      h("div.actions", {}, doing("Fetch it", () => fetchNow(words), { kind: "button.primary" }), h("a.button", { href: route("model", words) }, "Look at it first"))));
  }
  main.append(place);
  const list = await listed({
    what: "search", query: { q: words, kind, limit: 30 }, caption: words ? `What is found for ${short(words)}` : "What this node holds or has heard of", columns: COLUMNS, signal,
    cells: (item) => [repositoryLink(item), item.kind, size(item.size), item.publisher ? h("span", { title: item.publisher }, short(item.publisher)) : "", item.licence ?? "", date(item.created),
      item.held ? tag("held", "good") : fetchButton(item)],
    empty: isReference(words) ? h("p", {}, "This node has not heard of it yet. To fetch it or to look at it, the node asks others.") : [
      h("p", {}, words ? "Nothing that this node holds or has heard of is like that." : "This node has heard of nothing yet."),
      h("p", {}, "Whoever publishes something can give you its reference or a ticket; with that it is found wherever it is."),
      fetchForm(),
    ],
  });
  place.replaceChildren(list.node);
  if (words) announce(list.rows ? `${plural(list.rows, "result")} shown` : "Nothing was found");
}

function fetchButton(item) {
  const act = doing("Fetch", () => fetchNow(item.ref), { kind: "button.small" });
  act.querySelector("button").setAttribute("aria-label", `Fetch ${item.name}`);
  return act;
}
