// What this home holds: repositories, a page at a time, looked through by the node.

import { change } from "./api.js";
import { h } from "./dom.js";
import { onOverview, overview } from "./live.js";
import { doing, repositoryLink, tag } from "./parts.js";
import { again, route } from "./router.js";
import { listed } from "./table.js";
import { count, date, size } from "./units.js";

export const KINDS = [["", "Any kind"], ["model", "Models"], ["dataset", "Datasets"], ["app", "Apps"]];

const COLUMNS = [
  { name: "Name", kind: "name" }, { name: "Kind", kind: "wide" }, { name: "Size", kind: "number" }, { name: "Files", kind: "number wide" },
  { name: "Came by", kind: "wide" }, { name: "Created", kind: "wide" }, { name: "Kept", kind: "act" },
];

const PAGE = 50;

export async function show(main, { query, signal }) {
  const words = query.get("q") ?? "";
  const kind = query.get("kind") ?? "";
  const head = h("h1", {}, "Held");
  const place = h("div", {}, h("p.note", {}, "Asking the node…"));
  const fresh = h("p.notice", { hidden: true, role: "status" }, "What is held has changed. ", h("button.small", { type: "button", onclick: again }, "Show it"));
  main.replaceChildren(head, filter("held", words, kind, "Names that hold"), fresh, place);
  const list = () => listed({
    what: "repositories", query: { q: words, kind, limit: PAGE }, caption: "Repositories that this node holds", columns: COLUMNS, signal,
    cells: (item) => [repositoryLink(item), item.kind, [size(item.size), item.complete ? null : h("span.under", {}, "in part")], count(item.files), [item.origin === "own" ? "own store" : item.origin ?? "", item.private ? [" ", tag("private")] : null].flat(), date(item.created), pinButton(item)],
    empty: words || kind
      ? h("p", {}, "Nothing held is like that. ", h("a", { href: route("search", words) }, "Search what others have"), ".")
      : [h("p", {}, "Nothing is held yet."), h("p", {}, h("a", { href: route("welcome") }, "How to begin"))],
  });
  const load = async () => place.replaceChildren((await list()).node);
  await load();
  let seen = overview()?.changed;
  onOverview((now) => {
    if (!now || seen === undefined || now.changed === seen) return (seen ??= now?.changed);
    seen = now.changed;
    if (place.contains(document.activeElement) || place.querySelectorAll("tbody tr").length > PAGE) fresh.hidden = false;
    else load().catch(() => {}); // Asked for anew with the next change.
  }, signal);
}

/** Return the button that keeps a repository, or lets go of it. */
export function pinButton(item) {
  let pinned = item.pinned;
  const act = doing("", () => change(pinned ? "unpin" : "pin", { ref: item.ref }), { kind: "button.small", then: () => {
    pinned = !pinned;
    label();
  } });
  const button = act.querySelector("button");
  const label = () => {
    button.textContent = pinned ? "Unpin" : "Pin";
    button.setAttribute("aria-label", `${pinned ? "Unpin" : "Pin"} ${item.name}`);
    button.setAttribute("aria-pressed", String(pinned));
    button.title = pinned ? "It is kept until you unpin it" : "Keep it, whatever is collected";
  };
  label();
  return act;
}

/** Return the form above a list: words and a kind, which go into the address. */
export function filter(view, words, kind, label) {
  const input = h("input", { type: "search", name: "q", id: "words", value: words, maxlength: 256, autocomplete: "off", spellcheck: "false" });
  const kinds = h("select", { name: "kind", id: "kind" }, ...KINDS.map(([value, text]) => h("option", { value, selected: value === kind }, text)));
  const go = () => {
    const asked = new URLSearchParams([["q", input.value.trim()], ["kind", kinds.value]].filter(([, value]) => value)).toString();
    location.hash = `#/${view}${asked ? `?${asked}` : ""}`;
  };
  kinds.addEventListener("change", go);
  return h("form.filter", { role: "search", "aria-label": label, onsubmit: (event) => { event.preventDefault(); go(); } },
    h("label", { for: "words" }, label), input, h("label.unseen", { for: "kind" }, "Kind"), kinds, h("button", { type: "submit" }, "Search"));
}
