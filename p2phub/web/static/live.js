// What the node tells by itself: its overview, whenever something changed, by server-sent events.
//
// Read by fetch, since EventSource sends no token. One stream for the whole page; views listen as long as they are
// shown. When it breaks off it is opened again, later each time, and at once when the page comes back into sight.

import { open } from "./api.js";

const SAMPLES = 120; // About a minute of rates.
const WAIT_MAX_MS = 15000;

let latest = null;
let connected = false;
const listeners = new Set();

/** The rates of the last minute, oldest first: {up, down} in bytes a second. */
export const rates = [];

/** Call `listener(overview, connected)` now, if something is known, and whenever that changes, until `signal` ends. */
export function onOverview(listener, signal) {
  if (signal?.aborted) return;
  listeners.add(listener);
  signal?.addEventListener("abort", () => listeners.delete(listener));
  if (latest) listener(latest, connected);
}

/** The overview that was told last; null before the first. */
export const overview = () => latest;

/** Resolves with an overview once there is one. */
export const firstOverview = (signal) =>
  new Promise((done) => (latest ? done(latest) : onOverview((told) => told && done(told), signal)));

/** Follow the node for as long as the page is open. */
export async function follow() {
  for (let wait = 500; ; wait = Math.min(WAIT_MAX_MS, wait * 2)) {
    try {
      const response = await open("events");
      for await (const { event, data } of eventsOf(response.body)) {
        if (event !== "overview") continue;
        wait = 500;
        connected = true;
        latest = JSON.parse(data);
        rates.push(latest.rates);
        if (rates.length > SAMPLES) rates.shift();
        tell();
      }
    } catch {
      // Told below: whatever ended it, it is asked for again.
    }
    connected = false;
    tell();
    await pause(wait);
  }
}

function tell() {
  for (const listener of [...listeners]) listener(latest, connected);
}

function pause(milliseconds) {
  return new Promise((done) => {
    const back = () => !document.hidden && end();
    const timer = setTimeout(end, milliseconds);
    document.addEventListener("visibilitychange", back);
    function end() {
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", back);
      done();
    }
  });
}

/** Yield the events of a text/event-stream as {event, data}. Source: WHATWG HTML §9.2.6. */
export async function* eventsOf(stream) {
  let rest = "";
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (rest + value).replaceAll("\r\n", "\n").split("\n\n");
    rest = parts.pop();
    for (const part of parts) {
      const told = { event: "message", data: [] };
      for (const line of part.split("\n")) {
        const [, name, text] = /^([^:]*):? ?(.*)$/.exec(line);
        if (name === "event") told.event = text;
        else if (name === "data") told.data.push(text);
      }
      if (told.data.length) yield { event: told.event, data: told.data.join("\n") };
    }
  }
}
