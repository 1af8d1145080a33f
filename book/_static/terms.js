// What a term means shows, by the style sheet alone, while it is pointed at or has the focus. Escape puts it away.
addEventListener("keydown", event => {
  if (event.key !== "Escape") return;
  document.querySelectorAll("a[data-means]:is(:hover, :focus)").forEach(link => { link.dataset.shut = ""; });
});
["mouseout", "focusout"].forEach(kind => addEventListener(kind, event => {
  event.target.closest?.("a[data-shut]")?.removeAttribute("data-shut");
}));
