// Caps: how fast this node may receive and send, in all.

import { announce } from "./announce.js";
import { change } from "./api.js";
import { ask } from "./dialog.js";
import { h } from "./dom.js";
import { overview } from "./live.js";

const MB = 1e6;

/** Ask for the caps and set them; what is wrong is asked about again. */
export async function setCaps(wrong = null) {
  const caps = overview()?.caps ?? { up: null, down: null };
  const input = (name, bytes) => h("input", {
    id: `cap-${name}`, name, type: "number", min: 0.01, step: "any", inputmode: "decimal",
    value: bytes === null ? "" : String(bytes / MB), placeholder: "no cap",
  });
  const given = await ask({
    title: "Caps",
    body: [
      h("p", {}, "How fast this node may be in all, until it is stopped. Empty: as fast as it can."),
      caps.by_schedule && h("p.note", {}, "They come from the schedule in config.toml; what is set here holds until its next change."),
      h("label", { for: "cap-down" }, "Receiving, MB/s"), input("down", caps.down),
      h("label", { for: "cap-up" }, "Sending, MB/s"), input("up", caps.up),
      wrong && h("p.wrong", { role: "alert" }, wrong),
    ],
    yes: "Set",
  });
  if (!given) return;
  const bytes = (name) => (given.get(name) === "" ? "none" : Math.round(Number(given.get(name)) * MB));
  try {
    await change("limit", { up: bytes("up"), down: bytes("down") });
    announce("The caps are set");
  } catch (error) {
    await setCaps(error.message);
  }
}
