// The overview: what moves, what is held and what room there is, whom this node knows, how fast it may be.

import { setCaps } from "./caps.js";
import { h, keyed, say, svg } from "./dom.js";
import { isOpen, jobRow } from "./job-row.js";
import { firstOverview, onOverview, rates } from "./live.js";
import { addressOf, copyable, facts } from "./parts.js";
import { route } from "./router.js";
import { spark } from "./spark.js";
import { count, plural, rate, size } from "./units.js";

const SHOWN_JOBS = 5;

let welcomed = false;

export async function show(main, { signal }) {
  main.replaceChildren(h("h1", {}, "Overview"), h("p.note", {}, "Asking the node…"));
  const first = await firstOverview(signal);
  if (signal.aborted) return;
  if (!welcomed && first.held === 0 && !first.jobs.length) {
    welcomed = true;
    location.replace(route("welcome")); // A node that has nothing yet: how to begin, once.
    return;
  }
  welcomed = true;

  const moving = card("Moving");
  const list = h("ul.jobs");
  const quiet = h("p.note", {}, "Nothing is being fetched. ", h("a", { href: route("search") }, "Find something"), " or paste a reference above.");
  const all = h("p.note", {}, h("a", { href: route("jobs") }, "All jobs"));
  const showJobs = keyed(list, jobRow);
  moving.append(list, quiet, all);

  const down = h("strong.figure");
  const up = h("strong.figure");
  const line = spark(["down", "up"]);
  const capsLine = h("p.note");
  const caps = h("button.small", { type: "button", onclick: () => setCaps() }, "Set caps");
  const ratesCard = card("Rates",
    h("div.figures", {}, h("div", {}, h("span.key.down", {}, "Receiving"), down), h("div", {}, h("span.key.up", {}, "Sending"), up)),
    line.node, h("div.spread", {}, capsLine, caps));

  const held = h("a.figure", { href: route("held") });
  const peers = h("a.figure", { href: route("peers") });
  const disk = diskBar();
  const heldCard = card("Held", h("div.figures", {}, h("div", {}, h("span.key", {}, "Repositories"), held), h("div", {}, h("span.key", {}, "Peers reached"), peers)), disk.node);

  const nodeCard = card("This node");
  const nodeFacts = h("div");
  nodeCard.append(nodeFacts);
  let nodeShown = "";

  main.replaceChildren(h("h1", {}, "Overview"), h("div.cards", {}, h("div", {}, moving, heldCard), h("div", {}, ratesCard, nodeCard)));
  onOverview((now) => {
    if (!now) return;
    const open = now.jobs.filter(isOpen);
    showJobs(open.slice(0, SHOWN_JOBS), (job) => job.id);
    quiet.hidden = open.length > 0;
    all.hidden = !now.jobs.length;
    say(down, rate(now.rates.down));
    say(up, rate(now.rates.up));
    line.draw(rates);
    say(capsLine, `Caps: ${capOf(now.caps.down)} down, ${capOf(now.caps.up)} up. ${size(now.served_bytes)} sent since it was started.`);
    say(held, count(now.held));
    say(peers, count(now.proven));
    peers.title = `${plural(now.peers, "peer")} known of, ${count(now.proven)} reached`;
    disk.set(now.disk, now.unfinished);
    const text = JSON.stringify(now.node);
    if (text !== nodeShown) {
      nodeShown = text;
      nodeFacts.replaceChildren(nodeList(now.node));
    }
  }, signal);
}

const capOf = (bytes) => (bytes === null || bytes === undefined ? "none" : rate(bytes));

const card = (title, ...children) => h("section.card", { "aria-label": title }, h("h2", {}, title), ...children);

function nodeList(node) {
  return facts([
    ["Reached from outside", node.reachable === null ? null : node.reachable ? "yes" : "no"],
    ["Found on this network", node.lan ? "yes: other nodes of it find this one by themselves" : "no: its settings say so (--no-lan)"],
    ["Addresses", node.addresses.length ? h("ul.plain", {}, ...node.addresses.slice(0, 6).map((address) => h("li", {}, addressOf(address)))) : "none yet"],
    ["Publishes as", copyable(node.publisher_id)],
    ["Peer", copyable(node.peer_id)],
    ["Version", node.version],
  ]);
}

/** The disk as one bar: what this home has on it by how it came, other programs' files, what is free. */
function diskBar() {
  const kinds = [["fetched", "fetched_bytes", "Fetched into folders"], ["own", "own_bytes", "Own store"], ["published", "published_bytes", "Published in place"], ["adopted", "adopted_bytes", "Adopted in place"], ["shared", "shared_bytes", "Shared places"]];
  const rects = kinds.map(([name]) => svg("rect", { class: name, y: 0, height: 10 }));
  const picture = svg("svg", { class: "disk", viewBox: "0 0 1000 10", preserveAspectRatio: "none", role: "img" }, ...rects);
  const values = kinds.map(() => h("dd"));
  const free = h("dd");
  const quota = h("p.note");
  const node = h("div", {}, picture,
    h("dl.legend", {}, ...kinds.map(([name, , label], at) => h("div", {}, h("dt", {}, h(`span.swatch.${name}`), label), values[at])), h("div", {}, h("dt", {}, h("span.swatch.free"), "Free on the disk"), free)), quota);
  return {
    node,
    set(disk, unfinished) {
      const ours = kinds.map(([, key]) => disk[key] ?? 0);
      const all = Math.max(1, ours.reduce((sum, bytes) => sum + bytes, 0) + (disk.free_bytes ?? 0));
      let at = 0;
      ours.forEach((bytes, index) => {
        const wide = bytes ? Math.max(3, (1000 * bytes) / all) : 0;
        rects[index].setAttribute("x", at);
        rects[index].setAttribute("width", wide);
        at += wide;
        say(values[index], disk[kinds[index][1]] === null ? "measuring" : size(bytes));
      });
      say(free, size(disk.free_bytes));
      say(quota, [disk.quota_bytes ? `The own store may take ${size(disk.quota_bytes)}.` : "", unfinished ? `${plural(unfinished, "fetch", "fetches")} did not end yet.` : ""].join(" ").trim());
      quota.hidden = !quota.textContent;
      picture.setAttribute("aria-label", `Disk: ${kinds.map(([, , label], index) => `${label} ${size(ours[index])}`).join(", ")}, free ${size(disk.free_bytes)}`);
    },
  };
}
