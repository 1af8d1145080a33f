// Loaded in the head, before anything is drawn.
(() => {
const root = document.documentElement;

// Light or dark, as the system has it, until the theme's own script says so.
if (!["light", "dark"].includes(root.dataset.theme))
  root.dataset.theme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";

// From a folder on disk, browsers let no script read the pages that a search has found: it shows their titles.
if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;

// Code that is wider than its box is reached, and scrolled, by keyboard. The theme looks for it when the page has
// loaded or changed its size; what was folded then, it has to look at again.
["toggle", "click"].forEach(kind => document.addEventListener(kind, () => dispatchEvent(new Event("resize")), true));

// On paper everything is open, and black on white.
addEventListener("beforeprint", () => {
  root.dataset.screen = root.dataset.theme;
  root.dataset.theme = "light";
  document.querySelectorAll("details:not([open])").forEach(folded => {
    folded.open = true;
    folded.dataset.folded = "";
  });
});
addEventListener("afterprint", () => {
  root.dataset.theme = root.dataset.screen;
  document.querySelectorAll("details[data-folded]").forEach(folded => {
    folded.open = false;
    delete folded.dataset.folded;
  });
});
})();
