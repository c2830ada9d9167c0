// The peers that this node knows, and what they give it now.

import { get } from "./api.js";
import { h } from "./dom.js";
import { overview } from "./live.js";
import { copyable, place } from "./parts.js";
import { table } from "./table.js";
import { rate, size } from "./units.js";

const COLUMNS = [{ name: "Peer", kind: "name" }, { name: "Gives", kind: "number" }, { name: "Received now", kind: "number" }, { name: "Reached", kind: "wide" }, { name: "Note", kind: "text wide" }];
const EVERY_MS = 3000;

export async function show(main, { signal }) {
  const place = h("div", {}, h("p.note", {}, "Asking the node…"));
  main.replaceChildren(h("h1", {}, "Peers"), place);
  let said = "";
  const look = async () => {
    const { items } = await get("peers", {}, signal);
    const text = JSON.stringify(items);
    if (text !== said) place.replaceChildren(items.length ? listOf(items) : nobody());
    said = text;
  };
  await look();
  const timer = setInterval(() => look().catch(() => {}), EVERY_MS); // That the node is gone is told beside the views.
  signal.addEventListener("abort", () => clearInterval(timer));
}

function listOf(items) {
  return table("Peers that this node knows, those first that give something now", COLUMNS, items.map((peer) => [
    [copyable(peer.peer_id, { label: "Copy the peer" }), h("span.under", {}, place(peer.address))],
    rate(peer.down ?? 0), size(peer.bytes), peer.proven ? "yes" : "heard of", peer.note ?? "",
  ])).node;
}

function nobody() {
  const { addresses = [], lan = true } = overview()?.node ?? {};
  return h("div.empty", {}, h("p", {}, "This node knows nobody yet."),
    h("p", {}, lan ? "Nodes of the same network find each other by themselves. Elsewhere one names the other when it starts:" : "One names the other when it starts:"),
    h("pre", { tabindex: 0 }, h("code", {}, `p2phub node --bootstrap ${addresses[0] ?? "ADDRESS"}`)));
}
