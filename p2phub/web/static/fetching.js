// Begin a fetch: of something named already, or of a reference or ticket that somebody pastes.

import { announce } from "./announce.js";
import { change } from "./api.js";
import { h } from "./dom.js";
import { route } from "./router.js";

/** Have the node fetch `ref`, into a folder or into its own store, and show the job. `providers`: addresses of nodes that
 *  are asked before others. */
export async function fetchNow(ref, { into = null, providers = [] } = {}) {
  const { id } = await change("fetch", { ref, into, providers });
  announce("The fetch has begun");
  location.hash = route("job", id);
  return id;
}

/** Return a form that takes a reference or ticket. */
export function fetchForm({ label = "Reference or ticket", value = "" } = {}) {
  const input = h("input", {
    id: "reference", name: "ref", required: true, maxlength: 8192, value, autocomplete: "off", spellcheck: "false",
    placeholder: "publisher/name@tag, p2phub:…, or a manifest’s digest",
  });
  const from = h("input", {
    id: "provider", name: "provider", maxlength: 4096, autocomplete: "off", spellcheck: "false",
    placeholder: "/ip4/192.0.2.7/tcp/4717/p2p/12D3Koo…",
  });
  const wrong = h("p.wrong", { role: "alert" });
  const button = h("button.primary", { type: "submit" }, "Fetch");
  return h("form.inline", { onsubmit: async (event) => {
    event.preventDefault();
    button.disabled = true;
    wrong.textContent = "";
    try {
      await fetchNow(input.value.trim(), { providers: from.value.split(/[\s,]+/).filter(Boolean) });
    } catch (error) {
      wrong.textContent = error.message;
    } finally {
      button.disabled = false;
    }
  } }, h("label", { for: "reference" }, label), h("div.row", {}, input, button),
  h("details", {}, h("summary", {}, "Ask a certain node first"), h("label", { for: "provider" }, "Its address, as p2phub node prints it"), from), wrong);
}
