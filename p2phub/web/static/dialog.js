// Dialogs: a question in front of the page, by <dialog>, so that the browser keeps the focus in it and Escape closes it.

import { h } from "./dom.js";

let number = 0;

/** Show a dialog; return the data of its form once somebody says `yes`, or null. `body` is a list of nodes. */
export function ask({ title, body, yes, danger = false }) {
  return new Promise((answer) => {
    const name = `dialog-${++number}`;
    const form = h("form", { method: "dialog" },
      h("h2", { id: name }, title),
      ...body,
      h("div.actions", {},
        h("button", { type: "button", onclick: () => dialog.close() }, "Cancel"),
        h(danger ? "button.primary.danger" : "button.primary", { type: "submit", value: "yes" }, yes)));
    const dialog = h("dialog", { "aria-labelledby": name }, form);
    dialog.addEventListener("close", () => {
      const said = dialog.returnValue === "yes" ? new FormData(form) : null;
      dialog.remove();
      answer(said);
    });
    document.body.append(dialog);
    dialog.showModal();
    (form.querySelector("input, select") ?? form.querySelector(".primary")).focus();
  });
}
