// Light or dark: as the system has it, unless the switch says otherwise; kept for this browser.
//
// No module, so that it runs before anything is drawn: a dark page must not flash white first.
"use strict";
(() => {
  const KEY = "p2phub.theme";
  const wanted = () => {
    try {
      return localStorage.getItem(KEY) ?? "auto";
    } catch {
      return "auto"; // A browser that keeps nothing.
    }
  };
  document.documentElement.dataset.theme = wanted();
  document.addEventListener("DOMContentLoaded", () => {
    const choice = document.getElementById("theme");
    choice.value = wanted();
    choice.addEventListener("change", () => {
      document.documentElement.dataset.theme = choice.value;
      try {
        localStorage.setItem(KEY, choice.value);
      } catch {
        // It holds for this tab.
      }
    });
  });
})();
