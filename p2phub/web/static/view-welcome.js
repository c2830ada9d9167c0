// How to begin: a first fetch, a first publication, and what else can read from here.

import { h } from "./dom.js";
import { fetchForm } from "./fetching.js";
import { firstOverview } from "./live.js";
import { addressOf, copyable } from "./parts.js";
import { route } from "./router.js";

export async function show(main, { signal }) {
  const addresses = h("div");
  main.replaceChildren(
    h("h1", {}, "Welcome"),
    h("p.lead", {}, "This node moves models and datasets between machines, without a host in the middle. It takes them from whoever has them, checks every byte against what the publisher signed, and keeps them as ordinary files."),
    h("ol.steps", {},
      h("li.card", {}, h("h2", {}, "Fetch something"),
        h("p", {}, "Paste what its publisher gave you: a reference, or a ticket, which names who has it as well."), fetchForm(),
        h("p.note", {}, "Or ", h("a", { href: route("search") }, "search"), " what this node has heard of.")),
      h("li.card", {}, h("h2", {}, "Publish something"),
        h("p", {}, "A folder stays where it is: it is hashed, signed with your key and announced."),
        h("p", {}, h("a.button", { href: route("publish") }, "Publish a folder"))),
      h("li.card", {}, h("h2", {}, "Use it from programs"),
        h("p", {}, "Unchanged Hugging Face tools read through this node. Set this before they start:"),
        copyable(`export HF_ENDPOINT=${location.origin}`))),
    addresses);
  const { node } = await firstOverview(signal);
  if (signal.aborted || !node.addresses.length) return;
  addresses.replaceChildren(h("section.card", { "aria-label": "Who can find this node" }, h("h2", {}, "Who can find this node"),
    h("p", {}, node.lan ? "Nodes of the same network find it by themselves. Others can be told" : "It does not look for the nodes of its network (--no-lan). Others can be told", " one of its addresses, after ", h("code", {}, "--bootstrap"), ":"),
    h("ul.plain", {}, ...node.addresses.slice(0, 6).map((address) => h("li", {}, addressOf(address))))));
}
