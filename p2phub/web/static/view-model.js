// A model or dataset: what it is, what of it is here, its parts one at a time, and what can be done with it.
//
// The head is the same for all parts; the part is in the address (`?part=files`), so that each can be linked to. A part
// is a function in parts-of-model.js.

import { change, get } from "./api.js";
import { ask } from "./dialog.js";
import { h } from "./dom.js";
import { fetchNow } from "./fetching.js";
import { isOpen } from "./job-row.js";
import { onOverview } from "./live.js";
import { bar, copyable, doing, facts, tag } from "./parts.js";
import { partsOf } from "./parts-of-model.js";
import { short } from "./reference.js";
import { again, route } from "./router.js";
import { date, percent, plural, size } from "./units.js";

let last = null; // The model that was shown last: its parts are looked at one after the other.

export async function show(main, { arg, query, signal }) {
  const known = last?.ref === arg ? last.model : null;
  if (known) frame(main, arg, known, query, signal);
  else main.replaceChildren(h("h1", {}, short(arg)), h("p.note", {}, "Asking the node; what is not known here is looked up in the network…"));
  const model = await get("model", { ref: arg }, signal);
  last = { ref: arg, model };
  if (!known) frame(main, arg, model, query, signal);
  else if (JSON.stringify(known) !== JSON.stringify(model)) frame(main, arg, model, query, signal);
}

function frame(main, ref, model, query, signal) {
  const parts = partsOf(model);
  const part = parts.find((each) => each.key === query.get("part")) ?? parts[0];
  const place = h("section.part-of", { "aria-labelledby": "part" });
  const tabs = h("nav.tabs", { "aria-label": "Parts" }, h("ul", {}, ...parts.filter((each) => !each.hidden).map((each) =>
    h("li", {}, h("a", { href: route("model", ref, { part: each.key }), "aria-current": each === part ? "page" : null }, each.title, each.count ? h("span.count", {}, each.count) : null)))));
  main.replaceChildren(head(ref, model, signal), tabs, place);
  place.append(h("h2", { id: "part" }, part.title));
  const content = h("div", { "aria-busy": "true" }, h("p.note", {}, "Asking the node…"));
  place.append(content);
  part.show(content, { ref, model, query, signal }).catch((error) => {
    if (error.name === "AbortError" || signal.aborted) return;
    content.replaceChildren(h("p.notice", { role: "alert" }, error.message));
    if (!("status" in error)) throw error;
  }).finally(() => content.removeAttribute("aria-busy"));
}

function head(ref, model, signal) {
  const meter = bar("How much of it is here");
  meter.set(model.held_bytes ?? 0, model.size);
  const here = h("p.far", {}, { all: "All of it is here.", none: "Nothing of it is here.", some: `${percent(model.held_bytes, model.size)} is here: ${size(model.held_bytes)} of ${size(model.size)}.` }[model.held]);
  const moving = h("p.notice", { hidden: true });
  const todo = h("div.actions", {}, ...actions(model));
  let ended = true;
  onOverview((now) => {
    const job = now?.jobs.find((each) => isOpen(each) && each.manifest === model.manifest);
    moving.hidden = !job;
    for (const each of todo.querySelectorAll(".begins")) each.hidden = Boolean(job);
    if (job) {
      moving.replaceChildren("It is being fetched: ", h("a", { href: route("job", job.id) }, percent(job.done_bytes ?? 0, job.total_bytes)));
      ended = false;
    } else if (!ended) {
      ended = true;
      again(); // What was being fetched has ended: what is here is another now.
    }
  }, signal);
  return h("div.head", {},
    h("h1", {}, model.name || short(ref), model.tag && model.tag !== "main" ? h("span.note", {}, ` @${model.tag}`) : null),
    model.description && model.description !== model.name ? h("p.lead", {}, model.description) : null,
    h("p.under-head", {}, model.kind ? tag(model.kind) : null, model.licence ? tag(model.licence) : null,
      model.held === "all" ? tag("held", "good") : model.held === "some" ? tag("held in part", "warn") : tag("not held"),
      model.pinned ? tag("pinned", "good") : null, model.private ? tag("private") : null, model.published ? tag("published here") : null),
    model.contradicted ? h("p.notice.bad", {}, "Its publisher signed two different releases with one number: one of them is a lie. What is shown is the one that every node takes.") : null,
    model.files_unknown ? h("p.notice", {}, `Its list of files cannot be had now: ${model.files_unknown}`) : null,
    h("div.split", {},
      facts([
        ["Reference", copyable(model.ref, { label: "Copy the reference" })],
        ["Size", `${size(model.size)} in ${plural(model.files_total, "file")}`],
        ["Publisher", model.publisher ? copyable(model.publisher, { label: "Copy the publisher" }) : null],
        ["Manifest", copyable(model.manifest, { label: "Copy the manifest" })],
        ["Created", model.created ? `${date(model.created)}${model.expires && model.expires * 1000 < Date.now() ? " (expired)" : ""}` : null],
        ["Folder", model.folder ? copyable(model.folder, { shown: model.folder, label: "Copy the folder" }) : null],
        ["Made of", model.parents?.length ? h("ul.plain", {}, ...model.parents.map((parent) => h("li", {}, `${parent.relation} `, h("a", { href: route("model", parent.manifest) }, short(parent.manifest))))) : null],
      ]),
      h("div.act", {}, meter.node, here, moving, todo)));
}

function actions(model) {
  const doings = [];
  if (model.held !== "all") {
    doings.push(doing("Fetch", () => fetchNow(model.ref), { kind: "button.primary" }), doing("Fetch into a folder", () => fetchInto(model.ref)));
    for (const each of doings) each.classList.add("begins"); // Not while it is being fetched.
  }
  if (model.held !== "none") {
    const act = model.pinned ? "unpin" : "pin";
    doings.push(doing(model.pinned ? "Unpin" : "Pin", () => change(act, { ref: model.ref }), { then: again }));
  }
  doings.push(doing("Name it", () => nameIt(model)));
  return doings;
}

async function fetchInto(ref) {
  const given = await ask({
    title: "Fetch into a folder",
    body: [
      h("p", {}, "An absolute path on the machine that the node runs on. What stands there is never overwritten."),
      h("label", { for: "into" }, "Folder"),
      h("input", { id: "into", name: "into", required: true, maxlength: 4096, placeholder: "/home/me/models/minilm", spellcheck: "false", autocomplete: "off", pattern: "/.*" }),
    ],
    yes: "Fetch",
  });
  return given && fetchNow(ref, { into: given.get("into").trim() });
}

async function nameIt(model) {
  const given = await ask({
    title: "Name it",
    body: [
      h("p", {}, "A name of your own, by which Hugging Face tools and p2phub on this machine find it. Nobody else is told."),
      h("label", { for: "own-name" }, "Name"),
      h("input", { id: "own-name", name: "name", required: true, maxlength: 129, placeholder: "acme/minilm", spellcheck: "false", autocomplete: "off" }),
    ],
    yes: "Name it",
  });
  return given && change("name", { name: given.get("name").trim(), ref: model.ref });
}
