// One job as lists show it: what it fetches, how far it is, how fast, and why it is slow or waits.

import { change } from "./api.js";
import { h, say } from "./dom.js";
import { bar, doing, tag } from "./parts.js";
import { short } from "./reference.js";
import { route } from "./router.js";
import { duration, percent, plural, rate, size } from "./units.js";

const TONES = { running: "good", waiting: "warn", done: "good", failed: "bad", stopped: null };

/** What the node is asked to do: `fetch` is not said, as most jobs are that. */
const DOES = { publish: "publishing", pin: "pinning" };

export const isOpen = (job) => job.state === "running" || job.state === "waiting";

/** Return the job's state as a label: {node, set(job)}. */
export function stateTag() {
  const node = tag("");
  return {
    node,
    set: (job) => {
      say(node, job.state);
      node.className = `tag ${TONES[job.state] ?? ""}`;
    },
  };
}

/** Say in one line how far it is. */
export function progressOf(job) {
  if (job.done_bytes === null) return job.state === "running" ? "finding out how much there is" : "";
  const far = job.total_bytes ? `${size(job.done_bytes)} of ${size(job.total_bytes)}` : size(job.done_bytes);
  if (job.state !== "running") return far;
  const left = Number.isFinite(job.eta_s) ? `, ${duration(job.eta_s)} left` : "";
  return `${far} at ${rate(job.rate)}${left}`;
}

/** Say why it is as fast as it is, why it waits, or what ended it. */
export function whyOf(job) {
  if (job.error) return [job.error, job.hint].filter(Boolean).join(" – ");
  if (!isOpen(job) || !job.why) return "";
  return job.state === "running" ? `Why it is no faster: ${job.why}` : job.why;
}

/** Return a row for `keyed`. */
export function jobRow(job) {
  const link = h("a", { href: route("job", job.id) });
  const label = stateTag();
  const meter = bar(`${job.name || short(job.ref)}: how much of it is here`);
  const part = h("span.part");
  const meterRow = h("div.job-bar", {}, meter.node, part);
  const line = h("span.far");
  const why = h("p.why");
  const sources = h("span.sources");
  const stop = doing("Stop", () => change("stop", { id: job.id }), { kind: "button.small" });
  stop.querySelector("button").setAttribute("aria-label", `Stop ${job.name || short(job.ref)}`);
  const node = h("li.job", {},
    h("div.job-head", {}, link, job.action in DOES ? tag(DOES[job.action]) : null, label.node, stop),
    meterRow,
    h("div.job-line", {}, line, sources),
    why);
  return {
    node,
    update(now) {
      say(link, now.name || short(now.ref));
      link.title = now.ref;
      label.set(now);
      meter.set(now.done_bytes ?? 0, now.total_bytes);
      meterRow.hidden = !now.total_bytes;
      say(part, percent(now.done_bytes ?? 0, now.total_bytes));
      say(line, progressOf(now));
      say(sources, isOpen(now) && now.sources.length ? `from ${plural(now.sources_total ?? now.sources.length, "source")}` : "");
      say(why, whyOf(now));
      why.hidden = !why.textContent;
      stop.hidden = !isOpen(now) || !now.mine; // What a command began, that command stops.
    },
  };
}
