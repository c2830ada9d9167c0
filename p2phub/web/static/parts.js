// What several views show alike: bars, facts, commands to copy, what a repository is, a button that does something.

import { announce } from "./announce.js";
import { h } from "./dom.js";
import { short } from "./reference.js";
import { route } from "./router.js";
import { percent } from "./units.js";

/** Return a bar for so many bytes of so many: {node, set(bytes, of)}. */
export function bar(label) {
  const node = h("progress", { max: 1, "aria-label": label });
  const set = (bytes, of) => {
    node.value = of ? Math.min(1, bytes / of) : 0;
    node.textContent = percent(bytes, of);
  };
  set(0, 0);
  return { node, set };
}

/** Return a list of facts: facts([["Size", "12 MB"], …]); those without a value are left out. */
export const facts = (pairs) =>
  h("dl.facts", {}, ...pairs.filter(([, value]) => value !== null && value !== undefined && value !== "")
    .map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));

/** Return a small label. `tone` is a class: good, warn, bad or none. */
export const tag = (text, tone = null) => h(tone ? `span.tag.${tone}` : "span.tag", {}, text);

/** Return a text that can be copied, shown cut short if it is long. */
export function copyable(text, { shown = short(text), label = "Copy" } = {}) {
  const button = h("button.copy", { type: "button", "aria-label": `${label}: ${shown}`, title: "Copy", onclick: async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.dataset.done = "yes";
      announce("Copied");
      setTimeout(() => delete button.dataset.done, 1500);
    } catch {
      getSelection().selectAllChildren(code); // Where a page may not write there, it can be selected at least.
    }
  } });
  const code = h("code", { title: text }, shown);
  return h("span.copyable", {}, code, button);
}

/** Return a multiaddr, shown without the peer at its end; what is copied has it. */
export const addressOf = (address) => copyable(address, { shown: place(address), label: "Copy the address" });

/** A multiaddr without the peer at its end. */
export const place = (address) => (address ?? "").replace(/\/p2p\/[^/]*$/, "");

/** Return a ticket, to be copied, under its heading. */
export const ticketOf = (ticket) => [
  h("h2", {}, "Ticket"),
  h("p.note", {}, "It names the release and who has it: whoever it was given to needs nothing else to fetch it."),
  copyable(ticket, { shown: `${ticket.slice(0, 32)}…`, label: "Copy the ticket" }),
];

/** Return a link to a repository, with its title below. */
export const repositoryLink = ({ ref, name, tag: version, title }) => [
  h("a", { href: route("model", ref), title: ref }, name || short(ref)),
  version && version !== "main" ? h("span.note", {}, ` @${version}`) : null,
  title && title !== name ? h("span.under", {}, title) : null,
];

/** Return a button that has the node do something, and says below it what was wrong where that did not work. */
export function doing(label, act, { kind = "button", then = null } = {}) {
  const button = h(kind, { type: "button" }, label);
  const wrong = h("span.wrong", { role: "alert" });
  button.addEventListener("click", async () => {
    button.disabled = true;
    wrong.textContent = "";
    try {
      const done = await act();
      if (done !== null) await then?.(done);
    } catch (error) {
      if (error.name !== "AbortError") wrong.textContent = error.message;
    } finally {
      button.disabled = false;
    }
  });
  return h("span.doing", {}, button, wrong);
}

/** Say how much of something is here: `yes`, `45 %`, `no`. */
export const heldOf = (held, of) => (held >= of ? "yes" : held ? percent(held, of) : "no");
