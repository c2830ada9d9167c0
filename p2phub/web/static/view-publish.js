// Publish: a folder of the node's machine, where it stands, or one that is dropped here, which is copied to the node.

import { announce } from "./announce.js";
import { change, sendFile } from "./api.js";
import { h } from "./dom.js";
import { asName, ofDrop, ofInput } from "./drop.js";
import { bar, doing, ticketOf } from "./parts.js";
import { route } from "./router.js";
import { table } from "./table.js";
import { count, percent, plural, size } from "./units.js";
import { KINDS } from "./view-held.js";

const SHOWN = 200;
const WHO = [["all", "Everybody"], ["ticket", "Who has its ticket"], ["nodes", "Certain nodes"]];

export async function show(main, { signal }) {
  main.replaceChildren(h("h1", {}, "Publish"),
    h("p.lead", {}, "What you publish is signed with your key. Public, it is announced: whoever has its reference can fetch it, and pass it on. Private, it is not: it goes to whoever you give its ticket."),
    byPath(), byDrop(signal));
}

/** The fields of both forms: {nodes, values(), suggest(folder)}. */
function fields(prefix) {
  const name = h("input", { id: `${prefix}-name`, name: "name", required: true, maxlength: 64, pattern: "[a-z0-9][a-z0-9._\\-]*", title: "small letters, digits, . _ -; the first a letter or digit", autocomplete: "off", spellcheck: "false" });
  const kind = h("select", { id: `${prefix}-kind`, name: "kind" }, ...KINDS.slice(1).map(([value, text]) => h("option", { value }, text.replace(/s$/, ""))));
  const version = h("input", { id: `${prefix}-tag`, name: "tag", value: "main", required: true, maxlength: 64, pattern: "[a-z0-9][a-z0-9._\\-]*", autocomplete: "off", spellcheck: "false" });
  const description = h("input", { id: `${prefix}-description`, name: "description", maxlength: 256, autocomplete: "off" });
  const licence = h("input", { id: `${prefix}-licence`, name: "licence", maxlength: 64, placeholder: "apache-2.0", autocomplete: "off" });
  const who = h("select", { id: `${prefix}-who`, name: "who" }, ...WHO.map(([value, text]) => h("option", { value }, text)));
  const allow = h("input", { id: `${prefix}-allow`, name: "allow", maxlength: 16384, placeholder: "12D3Koo…, 12D3Koo…", autocomplete: "off", spellcheck: "false" });
  const field = (input, label) => h("div.field", {}, h("label", { for: input.id }, label), input);
  const allowed = h("div.field.grow", { hidden: true }, h("label", { for: allow.id }, "The peer ids of these nodes"), allow);
  who.addEventListener("change", () => {
    allow.required = who.value === "nodes";
    allowed.hidden = !allow.required;
  });
  return {
    nodes: [field(name, "Name"), field(kind, "Kind"), field(version, "Tag"), field(description, "Description (optional)"), field(licence, "Licence (optional)"), field(who, "Who may fetch it"), allowed],
    values: () => ({
      name: name.value, kind: kind.value, tag: version.value, description: description.value, licence: licence.value,
      private: who.value !== "all", allow: who.value === "nodes" ? allow.value.split(/[\s,]+/).filter(Boolean) : [],
    }),
    suggest: (folder) => {
      if (!name.value || name.dataset.suggested === name.value) name.value = name.dataset.suggested = asName(folder);
    },
  };
}

function byPath() {
  const path = h("input", { id: "path", name: "path", required: true, maxlength: 4096, placeholder: "/home/me/models/minilm", pattern: "/.*", title: "an absolute path", autocomplete: "off", spellcheck: "false" });
  const rest = fields("path");
  const wrong = h("p.wrong", { role: "alert" });
  const found = h("div", { "aria-live": "polite" });
  path.addEventListener("change", () => rest.suggest(path.value.replace(/\/+$/, "").split("/").pop() ?? ""));
  const look = doing("Look first", async () => {
    if (!path.reportValidity()) return;
    found.replaceChildren(surveyed(await change("survey", { path: path.value })));
  });
  const button = h("button.primary", { type: "submit" }, "Publish");
  return h("section.card", { "aria-label": "A folder on the node’s machine" }, h("h2", {}, "A folder on the node’s machine"),
    h("p.note", {}, "It stays where it is, and is served from there: no second copy."),
    h("form", { onsubmit: async (event) => {
      event.preventDefault();
      wrong.textContent = "";
      button.disabled = true;
      try {
        const { id } = await change("publish", { path: path.value, ...rest.values() });
        announce("Publishing has begun");
        location.hash = route("job", id);
      } catch (error) {
        wrong.textContent = error.message;
      } finally {
        button.disabled = false;
      }
    } }, h("div.field.grow", {}, h("label", { for: "path" }, "Path"), path), h("div.fields", {}, ...rest.nodes), h("div.actions", {}, button, look), wrong, found));
}

/** What a publication would take, what it leaves out, and what it refuses. */
function surveyed(found) {
  const list = (title, items) => items.length
    ? h("details", {}, h("summary", {}, title), h("ul.plain.paths", {}, ...items.slice(0, SHOWN).map(({ path, why }) => h("li", {}, h("code", {}, path), why ? ` ${why}` : ""))))
    : null;
  return h("div.surveyed", {},
    h("p", {}, `${plural(found.files_total, "file")}, ${size(found.bytes)}.`),
    found.refused_because ? h("p.notice.bad", {}, found.refused_because) : null,
    list(`${plural(found.refused.length, "file")} refused`, found.refused),
    list(`${plural(found.left_out.length, "file")} left out`, found.left_out),
    table("What would be published", [{ name: "Path", kind: "name path" }, { name: "Size", kind: "number" }], found.files.slice(0, SHOWN).map((file) => [file.path, size(file.size)])).node,
    found.files_total > SHOWN ? h("p.note", {}, `The first ${count(SHOWN)} are shown.`) : null);
}

function byDrop(signal) {
  const rest = fields("drop");
  const told = h("div.told", { "aria-live": "polite" }, "");
  const wrong = h("p.wrong", { role: "alert" });
  const picker = h("input", { type: "file", id: "folder", webkitdirectory: true, multiple: true });
  const meter = bar("How much was sent to the node");
  const progress = h("div.job-bar", { hidden: true }, meter.node, h("span.part"));
  const button = h("button.primary", { type: "submit", disabled: true }, "Publish");
  const cancel = h("button", { type: "button", hidden: true, onclick: () => stopping?.abort() }, "Stop");
  const zone = h("div.zone", {}, h("p", {}, h("strong", {}, "Drop a folder here"), " or pick one:"), h("label.unseen", { for: "folder" }, "Folder"), picker);
  let files = [];
  let stopping = null;

  const take = async (reading) => {
    wrong.textContent = "";
    try {
      const given = await reading;
      files = given.files;
      rest.suggest(given.name || files[0]?.path.split(".")[0] || "");
      told.textContent = files.length ? `${plural(files.length, "file")}, ${size(files.reduce((sum, { file }) => sum + file.size, 0))}: ${files.slice(0, 4).map(({ path }) => path).join(", ")}${files.length > 4 ? ", …" : ""}` : "There are no files in it.";
    } catch (error) {
      files = [];
      told.textContent = "";
      wrong.textContent = error.message;
    }
    button.disabled = !files.length;
  };
  picker.addEventListener("change", () => take(ofInput(picker)));
  for (const name of ["dragenter", "dragover"]) zone.addEventListener(name, (event) => { event.preventDefault(); zone.classList.add("over"); });
  for (const name of ["dragleave", "drop"]) zone.addEventListener(name, () => zone.classList.remove("over"));
  zone.addEventListener("drop", (event) => {
    event.preventDefault();
    take(ofDrop(event.dataTransfer));
  });
  signal.addEventListener("abort", () => stopping?.abort());

  async function publish() {
    stopping = new AbortController();
    button.disabled = true;
    cancel.hidden = false;
    wrong.textContent = "";
    let draft = null;
    try {
      draft = (await change("drop", {})).id;
      progress.hidden = false;
      const all = files.reduce((sum, { file }) => sum + file.size, 0);
      let sent = 0;
      for (const { path, file } of files) {
        const set = (bytes) => {
          meter.set(sent + bytes, all);
          progress.lastChild.textContent = percent(Math.min(all, sent + bytes), all);
        };
        await sendFile(`drop/${draft}/${path.split("/").map(encodeURIComponent).join("/")}`, file, set, stopping.signal);
        sent += file.size;
        set(0);
      }
      told.textContent = "All of it is at the node, which hashes and signs it now…";
      cancel.hidden = true;
      const wanted = rest.values();
      const { ref, ticket, remarks } = await change(`drop/${draft}/publish`, wanted);
      draft = null;
      announce("Published");
      if (!remarks.length && !wanted.private) location.hash = route("model", ref);
      else told.replaceChildren(h("p", {}, "Published: ", h("a", { href: route("model", ref) }, "what it is now"), "."),
        ...(wanted.private ? ticketOf(ticket) : []),
        remarks.length ? h("div", {}, h("p", {}, "About its files:"), h("ul", {}, ...remarks.map(({ path, what }) => h("li", {}, h("code", {}, path), ` ${what}`)))) : "");
    } catch (error) {
      progress.hidden = true;
      wrong.textContent = error.name === "AbortError" ? "Stopped: nothing was published." : error.message;
    } finally {
      if (draft !== null) await change(`drop/${draft}`, {}, "DELETE").catch(() => {}); // The node forgets drafts by itself, too.
      button.disabled = !files.length;
      cancel.hidden = true;
    }
  }

  return h("section.card", { "aria-label": "A folder of this browser’s machine" }, h("h2", {}, "A folder of this browser’s machine"),
    h("p.note", {}, "It is copied to the node, and held in its own store."),
    h("form", { onsubmit: (event) => { event.preventDefault(); publish(); } }, zone, told, h("div.fields", {}, ...rest.nodes), progress, h("div.actions", {}, button, cancel), wrong));
}
