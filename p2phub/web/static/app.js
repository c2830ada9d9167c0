// Where the page begins: takes the token out of the address, follows the node, and shows the view of the address.
//
//   api.js     asks the node      token.js  what a change takes      live.js   what the node tells by itself
//   router.js  address → view     view-*.js one view each            dom.js    how nodes are made: never from markup
//   units.js   numbers as people read them
//
// Every text from the node is set as text (dom.js); nothing here makes markup of it.

import { follow, onOverview } from "./live.js";
import { route, start } from "./router.js";
import { takeFromAddress } from "./token.js";
import { tellJobs } from "./announce.js";
import { rate } from "./units.js";

takeFromAddress();

const find = document.getElementById("find");
find.form.addEventListener("submit", (event) => {
  event.preventDefault();
  const words = find.value.trim();
  if (words) location.hash = route("search", words.slice(0, 4096));
});
document.addEventListener("keydown", (event) => {
  const typing = event.target.closest?.("input, textarea, select, dialog");
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    find.focus();
  }
});
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // "#main" would be an address of no view.
  document.getElementById("main").focus();
});

const state = document.getElementById("state");
const text = document.getElementById("state-text");
const count = document.getElementById("jobs-count");
onOverview((overview, connected) => {
  state.dataset.state = connected ? "on" : "off";
  text.textContent = connected && overview
    ? `↓ ${rate(overview.rates.down)}\n↑ ${rate(overview.rates.up)}`
    : "The node does not answer; asking again";
  if (!overview) return;
  const moving = overview.jobs.filter((job) => job.state === "running" || job.state === "waiting").length;
  count.hidden = !moving;
  count.textContent = moving;
  tellJobs(overview.jobs);
});

follow();
start(document.getElementById("main"));
