// What a screen reader is told without being asked: that a job began, each quarter of it, and how it ended. Politely,
// and no more often: a number that moves twice a second would drown everything else.

import { percent } from "./units.js";

const told = new Map();

/** Say something once. */
export function announce(text) {
  document.getElementById("announcer").textContent = text;
}

/** Say what is new of the jobs. Those that the page begins with are taken as known. */
export function tellJobs(jobs) {
  const first = told.size === 0 && jobs.length > 0 && !document.getElementById("announcer").dataset.begun;
  document.getElementById("announcer").dataset.begun = "yes";
  const said = [];
  for (const job of jobs) {
    const quarter = job.total_bytes ? Math.floor((4 * job.done_bytes) / job.total_bytes) : 0;
    const now = job.state === "running" ? `${job.state} ${quarter}` : job.state;
    if (told.get(job.id) === now) continue;
    told.set(job.id, now);
    if (job.state === "running") said.push(`${job.name}: ${percent(job.done_bytes, job.total_bytes)}`);
    else said.push(`${job.name}: ${job.state}${job.error ? `, ${job.error}` : ""}`);
  }
  if (said.length && !first) announce(said.join(". "));
}
