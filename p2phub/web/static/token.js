// The token: what a change takes, and from other machines everything.
//
// It comes behind "#" in the address that `p2phub node` prints, which no browser sends, and leaves the address bar at
// once; it is kept for this tab alone. Whoever came without one is asked for it when something is to be changed.

import { h } from "./dom.js";
import { ask } from "./dialog.js";

const KEY = "p2phub.token";

/** Take the token out of the address, now and whenever somebody opens one with a token where the page already is. That
 *  loads nothing anew: the view stays, and whoever was being asked for the token is answered. */
export function takeFromAddress() {
  take("#/");
  addEventListener("hashchange", ({ oldURL }) => take(new URL(oldURL).hash || "#/"));
}

function take(view) {
  const given = /^#token=([^&]+)(?:&(.*))?$/.exec(location.hash);
  if (!given) return;
  sessionStorage.setItem(KEY, decodeURIComponent(given[1]));
  history.replaceState(null, "", `${location.pathname}${view}`);
  document.getElementById("token")?.closest("dialog").close();
}

export const token = () => sessionStorage.getItem(KEY);

export const forget = () => sessionStorage.removeItem(KEY);

let asking = null;

/** Whether this is the node's token. */
async function isRight(given) {
  const response = await fetch("/-/api/check", {
    method: "POST", body: "{}", credentials: "omit", redirect: "error",
    headers: { "Content-Type": "application/json", Authorization: `Bearer ${given}` },
  });
  return response.ok;
}

/** Ask for the token. Returns it, or null from who does not give one; several who ask at once ask once. */
export function askForToken() {
  asking ??= dialog().finally(() => (asking = null));
  return asking;
}

async function dialog(wrong = null) {
  const input = h("input", { type: "password", name: "token", required: true, autocomplete: "off", maxlength: 200, id: "token" });
  const given = await ask({
    title: "The node's token",
    body: [
      h("p", {}, "What changes something here takes the token of this node, so that no other page can do it."),
      h("p", {}, "The address that ", h("code", {}, "p2phub node"), " prints has it. It also stands in the file ",
        h("code", {}, "keys/gateway.token"), " of the node’s home."),
      h("label", { for: "token" }, "Token"),
      input,
      wrong && h("p.wrong", { role: "alert" }, wrong),
    ],
    yes: "Go on",
  });
  const said = given ? input.value.trim() : "";
  if (!said) return token(); // It may have come by the address in the meantime.
  if (!(await isRight(said))) return dialog("That is not the token of this node.");
  sessionStorage.setItem(KEY, said);
  return said;
}
