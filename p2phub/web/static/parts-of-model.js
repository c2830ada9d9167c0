// The parts of a model's view: card, files, rows of a table, tensors, chunk map, versions, providers.
//
// Each is {key, title, count, show(place, {ref, model, query, signal})}, and asks for what it shows only when it is
// shown.

import { get, text } from "./api.js";
import { chunkMap } from "./chunk-map.js";
import { h } from "./dom.js";
import { isOpen } from "./job-row.js";
import { onOverview } from "./live.js";
import { addressOf, copyable, heldOf, tag } from "./parts.js";
import { short } from "./reference.js";
import { route } from "./router.js";
import { listed, table } from "./table.js";
import { count, date, plural, size } from "./units.js";

const FILES_A_PAGE = 100;
const LOOKED_AT_MAX = 24; // Files of a page; each that is not here takes its beginning and end from somebody.
const mayRun = (file) => /\.(bin|pth?|ckpt|pkl|pickle|joblib|dill|np[yz]|zip|7z|tar|t?gz|xz|bz2|zst|mar|nemo|model)$/i.test(file.path);
const isTable = (file) => /\.parquet$/i.test(file.path);
const hasTensors = (model) => model.files.some((file) => /\.(safetensors|gguf)$/i.test(file.path));
const wordOf = (model) => (hasTensors(model) ? "Tensors" : "Columns"); // As one list, where a model has both.

/** The parts that a model has, the one first that is shown first. */
export function partsOf(model) {
  const tables = model.files.filter(isTable);
  return [
    model.card && { key: "card", title: "Card", show: card },
    { key: "files", title: "Files", count: count(model.files_total), show: files },
    tables.length && { key: "rows", title: "Rows", show: rows },
    (hasTensors(model) || tables.length) && { key: "tensors", title: wordOf(model), show: tensors },
    { key: "map", title: "Chunk map", show: map },
    { key: "versions", title: "Versions", count: model.versions.length ? count(model.versions.length) : null, show: versions },
    { key: "providers", title: "Providers", show: providers },
  ].filter(Boolean);
}

/** The card runs no script, whatever it holds: it is shown in a frame whose sandbox allows none, and is of no origin. */
async function card(place, { ref, model, signal }) {
  const page = await text(`/-/card?${new URLSearchParams({ ref })}`, signal);
  const frame = h("iframe.card-frame", { sandbox: "allow-popups allow-popups-to-escape-sandbox", title: `Card of ${model.name || short(ref)}`, referrerpolicy: "no-referrer" });
  frame.srcdoc = page;
  place.replaceChildren(frame);
}

async function files(place, { ref, model, signal }) {
  const columns = [{ name: "Path", kind: "name path" }, { name: "Size", kind: "number" }, { name: "Here", kind: "number" }, { name: "SHA-256", kind: "wide" }];
  const list = table(`Files of ${model.name || short(ref)}`, columns);
  const more = h("button", { type: "button", onclick: () => add(true) }, "Show more");
  const told = h("p.note");
  let shown = 0;
  const add = (moves) => {
    const first = shown;
    const next = model.files.slice(shown, shown + FILES_A_PAGE);
    const unknown = next.map((file, at) => [file, first + at]).filter(([file]) => !file.danger && mayRun(file));
    list.add(next.map((file) => [fileName(ref, file), size(file.size), heldOf(file.held_bytes, file.size), file.sha256 ? copyable(file.sha256, { shown: file.sha256.slice(0, 12), label: `Copy the SHA-256 of ${file.path}` }) : ""]));
    shown += next.length;
    more.hidden = shown >= model.files.length;
    told.textContent = `${count(shown)} of ${plural(model.files_total, "file")} shown${more.hidden && shown < model.files_total ? "; the rest is told by p2phub info" : ""}`;
    lookAt(unknown.slice(0, LOOKED_AT_MAX));
    if (moves) list.body.rows[first]?.querySelector("a, button")?.focus();
  };
  const lookAt = async (some) => { // One after the other: what is asked is answered from the disk, or by peers.
    for (const [file, at] of some) {
      if (signal.aborted) return;
      file.danger = (await get("danger", { ref, path: file.path }, signal).catch(() => ({}))).danger ?? null; // Where nobody gives it, nobody knows.
      if (file.danger) list.body.rows[at].cells[0].append(warning(file));
    }
  };
  add(false);
  place.replaceChildren(list.node, h("div.tail", {}, told, more));
}

const warning = (file) => h("span.under", {}, tag("may run code", "bad"), ` ${file.danger}`);

const fileName = (ref, file) => [
  isTable(file) ? h("a", { href: route("model", ref, { part: "rows", path: file.path }), title: "Look at its first rows" }, file.path) : h("span.path", {}, file.path),
  file.danger ? warning(file) : null,
];

async function rows(place, { ref, model, query, signal }) {
  const tables = model.files.filter(isTable);
  const path = query.get("path") ?? tables[0].path;
  const choice = h("select", { id: "table", onchange: () => (location.hash = route("model", ref, { part: "rows", path: choice.value })) },
    ...tables.map((file) => h("option", { value: file.path, selected: file.path === path }, file.path)));
  const below = h("div", {}, h("p.note", {}, "Reading its first rows; what is missing of them is fetched and verified…"));
  place.replaceChildren(h("p.row", {}, h("label", { for: "table" }, "File"), choice), below);
  const found = await get("rows", { ref, path, limit: 20 }, signal);
  const columns = found.columns.map(({ name, type }) => ({ name: h("span", {}, name, h("span.under", {}, type)), kind: /int|float|double|decimal/.test(type) ? "number" : "cell" }));
  const cells = found.rows.map((values) => values.map((value) => (value === null ? h("i.null", {}, "null") : value)));
  const told = [`The first ${plural(found.rows.length, "row")} of ${count(found.total)}`, found.columns_total > columns.length ? `the first ${columns.length} of ${count(found.columns_total)} columns` : null, found.cut ? "long cells are cut" : null];
  below.replaceChildren(columns.length ? table(`${told.filter(Boolean).join(", ")}.`, columns, cells).node : h("p.notice", {}, "It has no columns."));
}

async function tensors(place, { ref, query, model, signal }) {
  const words = query.get("q") ?? "";
  const input = h("input", { type: "search", id: "tensor-words", value: words, maxlength: 200, spellcheck: "false", autocomplete: "off" });
  const form = h("form.filter", { role: "search", "aria-label": wordOf(model), onsubmit: (event) => {
    event.preventDefault();
    location.hash = route("model", ref, { part: "tensors", q: input.value.trim() });
  } }, h("label", { for: "tensor-words" }, "Names that hold"), input, h("button", { type: "submit" }, "Search"));
  const below = h("div", {}, h("p.note", {}, "Asking the node…"));
  place.replaceChildren(form, below);
  const list = await listed({
    what: "tensors", query: { ref, q: words, limit: 100 }, caption: `${wordOf(model)} of ${model.name || short(ref)}`, signal,
    columns: [{ name: "Name", kind: "name path" }, { name: "Type", kind: "wide" }, { name: "Shape", kind: "number wide" }, { name: "Size", kind: "number" }, { name: "Here", kind: "number" }, { name: "File", kind: "wide path" }],
    cells: (tensor) => [h("code", {}, tensor.name), tensor.dtype ?? "", tensor.shape.join(" × "), size(tensor.stop - tensor.start), heldOf(tensor.held_bytes, tensor.stop - tensor.start), tensor.file],
    empty: h("p", {}, words ? "None is called so." : "Its files name none."),
  });
  below.replaceChildren(list.node);
}

async function map(place, { ref, model, signal }) {
  const drawn = chunkMap(ref, { signal });
  const named = hasTensors(model) || model.files.some(isTable);
  place.replaceChildren(drawn.node, h("p.note", {}, "The same as a table: ", named ? [h("a", { href: route("model", ref, { part: "tensors" }) }, wordOf(model).toLowerCase()), ", "] : "", h("a", { href: route("model", ref, { part: "files" }) }, "files"), "."));
  onOverview((now) => {
    const job = now?.jobs.find((each) => each.manifest === model.manifest && isOpen(each));
    drawn.refresh(job ? job.done_bytes : null);
  }, signal);
}

async function versions(place, { model }) {
  if (!model.versions.length) return place.replaceChildren(h("div.empty", {}, h("p", {}, "No release of it is known: it was named by its digest, or adopted.")));
  const columns = [{ name: "Tag", kind: "name" }, { name: "Number", kind: "number" }, { name: "Created", kind: "" }, { name: "Manifest", kind: "" }, { name: "Here", kind: "" }];
  place.replaceChildren(table("Releases that this node knows, the newest first", columns, model.versions.map((version) => [
    version.tag, h("span.serial", {}, String(version.sequence)), date(version.created),
    version.manifest === model.manifest ? h("span", {}, h("code", {}, short(version.manifest)), " (shown)") : h("a", { href: route("model", version.manifest) }, h("code", {}, short(version.manifest))),
    version.here ? "yes" : "no",
  ])).node);
}

async function providers(place, { ref, signal }) {
  place.replaceChildren(h("p.note", { role: "status" }, "Asking the network who has it; that takes a few seconds…"));
  const { items } = await get("providers", { ref }, signal);
  if (!items.length) return place.replaceChildren(h("div.empty", {}, h("p", {}, "Nobody else is known to have it now.")));
  const columns = [{ name: "Peer", kind: "name" }, { name: "Address", kind: "path" }, { name: "Known by", kind: "wide" }];
  place.replaceChildren(table("Who has it", columns, items.map((item) => [copyable(item.peer_id, { label: "Copy the peer" }), addressOf(item.address ?? ""), item.via ?? ""])).node);
}
