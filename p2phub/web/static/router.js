// Which view the address shows. It stands behind "#", so the node never hears of it, and Back works.
//
//   #/  #/held  #/search?q=WORDS  #/model/REF?part=files  #/jobs  #/jobs/ID  #/publish  #/peers  #/welcome
//
// A view is a module with `show(main, place)`, loaded when it is first wanted; `place` is {arg, query, signal}, and the
// signal ends when another view is shown. On every change but the first the focus goes to the new heading, as it would
// go to the top of a new page; to that of the part, where only a part is another.

import { h } from "./dom.js";

const VIEWS = {
  "": ["overview", () => import("./view-overview.js")],
  held: ["held", () => import("./view-held.js")],
  search: ["search", () => import("./view-search.js")],
  model: ["held", () => import("./view-model.js")],
  jobs: ["jobs", () => import("./view-jobs.js")],
  job: ["jobs", () => import("./view-job.js")],
  publish: ["publish", () => import("./view-publish.js")],
  peers: ["peers", () => import("./view-peers.js")],
  welcome: ["overview", () => import("./view-welcome.js")],
};

let ending = null;
let before = ""; // The view and what it is of, without the words behind "?".

/** The address of a view: route("model", ref, {part: "files"}). */
export function route(view, arg = null, query = {}) {
  const words = new URLSearchParams(Object.entries(query).filter(([, value]) => value)).toString();
  if (view === "search") return `#/search${arg ? `?q=${encodeURIComponent(arg)}` : ""}`;
  const path = view === "job" ? `#/jobs/${encodeURIComponent(arg)}` : arg === null ? `#/${view}` : `#/${view}/${encodeURIComponent(arg)}`;
  return words ? `${path}?${words}` : path;
}

/** Show the view of the address in `main`, now and whenever the address changes. */
export function start(main) {
  addEventListener("hashchange", () => location.hash.startsWith("#/") && turn(main, true));
  if (!location.hash.startsWith("#/")) history.replaceState(null, "", "#/");
  turn(main, false);
}

/** Show the view anew, after something that it shows was changed. The focus stays where it is, if it can. */
export const again = () => turn(document.getElementById("main"), false);

function parse(hash) {
  const [path, words = ""] = hash.slice(2).split(/\?(.*)/s);
  const [first, ...rest] = path.split("/");
  let arg = null;
  try {
    arg = rest.length ? decodeURIComponent(rest.join("/")) : null;
  } catch {
    // Half an escape: as if nothing had been said.
  }
  const name = first === "jobs" && arg !== null ? "job" : first;
  return { name: name in VIEWS ? name : "", arg, query: new URLSearchParams(words) };
}

async function turn(main, moves) {
  ending?.abort();
  const controller = (ending = new AbortController());
  const { name, arg, query } = parse(location.hash);
  const [entry, load] = VIEWS[name];
  const within = before === `${name} ${arg}`;
  before = `${name} ${arg}`;
  for (const link of document.querySelectorAll(".side a")) {
    if (link.dataset.view === entry) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const focused = moves || main.contains(document.activeElement);
  main.setAttribute("aria-busy", "true");
  try {
    const view = await load();
    if (controller.signal.aborted) return;
    const shown = view.show(main, { arg, query, signal: controller.signal, moves });
    settle(main);
    if (moves) toHead(main, within);
    await shown;
  } catch (error) {
    if (controller.signal.aborted || error.name === "AbortError") return;
    const head = main.querySelector("h1") ?? h("h1", { tabindex: -1 }, "That did not work");
    main.replaceChildren(head, h("p.notice.bad", { role: "alert" }, error.message));
    if (!(error.name === "Refused" || "status" in error)) throw error; // A bug is to be seen.
  }
  if (controller.signal.aborted) return;
  main.removeAttribute("aria-busy");
  performance.mark("p2phub view"); // From here on it can be used: what tests of its speed look for.
  settle(main);
  if (focused && document.activeElement === document.body) toHead(main, within); // What had the focus was shown anew.
}

function settle(main) {
  const head = main.querySelector("h1");
  if (head) document.title = `${head.textContent} · p2phub`;
}

/** Put the focus on the view's heading; `within` a view on that of the part that is new, and nothing scrolls. */
function toHead(main, within) {
  const head = (within && main.querySelector("#part")) || main.querySelector("h1");
  if (!head) return;
  head.tabIndex = -1;
  head.focus({ preventScroll: true });
  if (!within) scrollTo(0, 0);
}
