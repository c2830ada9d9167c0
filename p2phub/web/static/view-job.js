// One job: how far and how fast it is, from whom, and why it is no faster.

import { change } from "./api.js";
import { chunkMap } from "./chunk-map.js";
import { h, keyed, say } from "./dom.js";
import { fetchNow } from "./fetching.js";
import { isOpen, progressOf, stateTag, whyOf } from "./job-row.js";
import { firstOverview, onOverview } from "./live.js";
import { bar, copyable, doing, place, ticketOf } from "./parts.js";
import { short } from "./reference.js";
import { route } from "./router.js";
import { spark } from "./spark.js";
import { row, table } from "./table.js";
import { percent, rate, size } from "./units.js";

const COLUMNS = [{ name: "Source", kind: "name" }, { name: "Way", kind: "wide" }, { name: "Rate", kind: "number" }, { name: "Share of the rate", kind: "meter wide" }, { name: "Received", kind: "number" }, { name: "Note", kind: "text" }];
const SAMPLES = 120;

export async function show(main, { arg, signal }) {
  main.replaceChildren(h("h1", {}, "Job"), h("p.note", {}, "Asking the node…"));
  const first = await firstOverview(signal);
  if (signal.aborted) return;
  const job = first.jobs.find((each) => String(each.id) === arg) ?? (await comes(arg, signal));
  if (!job) {
    main.replaceChildren(h("h1", {}, "Job"), h("p.notice", {}, "The node knows no such job: those of before it was started are forgotten. ", h("a", { href: route("jobs") }, "All jobs")));
    return;
  }

  const label = stateTag();
  const meter = bar("How much of it is here");
  const part = h("strong.figure");
  const line = h("p.far");
  const why = h("p.notice");
  const samples = [];
  const curve = spark(["rate"]);
  const sources = table("Where its bytes come from", COLUMNS);
  const none = h("p.note", {}, "No source is connected.");
  const fill = keyed(sources.body, sourceRow);
  const stop = doing("Stop", () => change("stop", { id: job.id }));
  const anew = doing("Fetch again", () => fetchNow(job.ref, { into: job.into, providers: job.providers }));
  const mapCard = h("section.card", { "aria-label": "Chunk map", hidden: true }, h("h2", {}, "Chunk map"));
  const ticketCard = h("section.card", { "aria-label": "Ticket", hidden: true });
  const named = h("span.under-head");
  const publishes = job.action === "publish"; // What is published is all here, and comes from nobody.
  let ref = null;
  let map = null;

  main.replaceChildren(
    h("h1", {}, job.name || short(job.ref)),
    h("p.under-head", {}, label.node, named),
    h("section.card", { "aria-label": "Progress" }, h("h2", {}, "Progress"),
      h("div.spread", {}, part, h("span.actions", {}, stop, anew)), meter.node, line, why, curve.node),
    ...(publishes ? [ticketCard] : [h("section.card", { "aria-label": "Sources" }, h("h2", {}, "Sources"), sources.node, none), mapCard]));

  onOverview((told) => {
    const now = told?.jobs.find((each) => each.id === job.id);
    if (!now) return;
    label.set(now);
    if (ref !== now.ref) { // A publication has its reference when it is done.
      ref = now.ref;
      const known = !publishes || now.state === "done";
      named.replaceChildren(copyable(ref, { label: "Copy the reference" }), known ? h("a", { href: route("model", ref) }, "What it is") : "", now.into ? h("span.note", {}, `${publishes ? "from" : "into"} ${now.into}`) : "");
    }
    meter.set(now.done_bytes ?? 0, now.total_bytes);
    say(part, percent(now.done_bytes ?? 0, now.total_bytes));
    say(line, progressOf(now));
    say(why, whyOf(now));
    why.hidden = !why.textContent;
    why.className = now.error ? "notice bad" : now.state === "waiting" ? "notice warn" : "notice";
    if (now.state === "running") samples.push({ rate: now.rate });
    if (samples.length > SAMPLES) samples.shift();
    curve.draw(samples);
    curve.node.classList.toggle("gone", samples.length < 2);
    const most = Math.max(1, ...now.sources.map((source) => source.rate));
    fill([...now.sources].sort((one, other) => other.bytes - one.bytes).map((source) => ({ ...source, most })), (source) => `${source.peer_id} ${source.address} ${source.kind}`);
    sources.node.hidden = !now.sources.length;
    none.hidden = now.sources.length > 0;
    say(none, isOpen(now) ? "No source is connected." : "It has ended: no source is connected any more.");
    stop.hidden = !isOpen(now) || !now.mine;
    anew.hidden = now.action !== "fetch" || (now.state !== "failed" && now.state !== "stopped");
    if (!publishes && !map && (now.total_bytes || now.state === "done")) { // Before that nobody knows what is in it.
      map = chunkMap(job.ref, { signal });
      mapCard.append(map.node);
      mapCard.hidden = false;
    }
    map?.refresh(now.done_bytes);
    if (now.ticket && ticketCard.hidden) {
      ticketCard.append(...ticketOf(now.ticket));
      ticketCard.hidden = false;
    }
  }, signal);
}

/** A job that was begun a moment ago may not have been told yet. */
async function comes(arg, signal) {
  return new Promise((done) => {
    const late = setTimeout(() => done(null), 3000);
    onOverview((told) => {
      const job = told?.jobs.find((each) => String(each.id) === arg);
      if (!job) return;
      clearTimeout(late);
      done(job);
    }, signal);
  });
}

function sourceRow(source) {
  const way = h("span");
  const speed = h("span");
  const received = h("span");
  const note = h("span");
  const share = bar(`Rate of ${short(source.peer_id)}`);
  const who = source.peer_id ? copyable(source.peer_id, { label: "Copy the peer" }) : h("code", {}, source.address);
  const node = row(COLUMNS, [[who, source.peer_id && source.address ? h("span.under", {}, place(source.address)) : null], way, speed, share.node, received, note]);
  return {
    node,
    update(now) {
      say(way, [now.kind, now.near].filter(Boolean).join(", "));
      say(speed, rate(now.rate));
      share.set(now.rate, now.most);
      say(received, size(now.bytes));
      say(note, now.note ?? "");
    },
  };
}
