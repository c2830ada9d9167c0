// Which view the address shows. It stands behind "#", so the node never hears of it, and Back works.
//
//   #/  #/held  #/search?q=WORDS  #/model/REF?part=files  #/jobs  #/jobs/ID  #/publish  #/peers  #/welcome
//
// A view is a module with `show(main, place)`, loaded when it is first wanted; `place` is {arg, query, signal}, and the
// signal ends when another view is shown. On every change but the first the focus goes to the new heading, as it would
// go to the top of a new page.

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
  for (const link of document.querySelectorAll(".side a")) {
    if (link.dataset.view === entry) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  main.setAttribute("aria-busy", "true");
  try {
    const view = await load();
    if (controller.signal.aborted) return;
    const shown = view.show(main, { arg, query, signal: controller.signal, moves });
    settle(main, moves);
    await shown;
  } catch (error) {
    if (controller.signal.aborted || error.name === "AbortError") return;
    const head = main.querySelector("h1") ?? h("h1", { tabindex: -1 }, "That did not work");
    main.replaceChildren(head, h("p.notice.bad", { role: "alert" }, error.message));
    if (!(error.name === "Refused" || "status" in error)) throw error; // A bug is to be seen.
  }
  if (controller.signal.aborted) return;
  main.removeAttribute("aria-busy");
  settle(main, false);
}

function settle(main, moves) {
  const head = main.querySelector("h1");
  if (!head) return;
  document.title = `${head.textContent} · p2phub`;
  if (!moves) return;
  head.tabIndex = -1;
  head.focus({ preventScroll: true });
  scrollTo(0, 0);
}
