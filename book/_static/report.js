// Makes the report's table of claims sortable, and shows the rows that a reader asks for. Without it, all stand there.
(() => {
const table = document.querySelector("table.claims");
if (!table) return;
const body = table.tBodies[0], rows = [...body.rows];
const verdicts = ["reproduced", "partly", "not reproduced"];
const facts = new Map(rows.map((row, place) => {
  const cells = [...row.cells], said = cells.map(cell => cell.querySelector("em")?.textContent.replace(".", ""));
  const verdict = cells[0].textContent.trim();
  const rank = word => (verdicts.indexOf(word) + 4) % 4;  // what was not run comes last
  return [row, {
    verdict,
    letter: cells[1].textContent.trim()[0],
    text: row.textContent.toLowerCase(),
    keys: [rank(verdict), place, rank(said[2]), rank(said[3])],
    place,
  }];
}));

// Sorting: the head of each column is a button.
[...table.tHead.rows[0].cells].forEach((head, column) => {
  const button = document.createElement("button");
  button.type = "button";
  button.append(...(head.querySelector("p") ?? head).childNodes);
  // On paper plain text: Chromium draws no button in a head that a table repeats overleaf.
  const told = Object.assign(document.createElement("span"), {className: "on-paper", textContent: button.textContent});
  told.setAttribute("aria-hidden", "true");
  head.replaceChildren(button, told);
  button.addEventListener("click", () => {
    const up = head.getAttribute("aria-sort") !== "ascending";
    [...head.parentNode.cells].forEach(other => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const order = (a, b) => {
      const [one, two] = [facts.get(a), facts.get(b)];
      return (up ? 1 : -1) * (one.keys[column] - two.keys[column]) || one.place - two.place;
    };
    body.append(...[...rows].sort(order));
  });
});

// Filtering.
const form = document.createElement("form");
form.className = "claims-filter";
const field = (name, control) => {
  const label = document.createElement("label");
  label.append(`${name} `, control);
  form.append(label);
  return control;
};
const choice = words => {
  const select = document.createElement("select");
  select.append(new Option("all", ""), ...words.map(word => new Option(word)));
  return select;
};
const all = [...facts.values()];
const letter = field("Document", choice([...new Set(all.map(each => each.letter))].sort()));
const verdict = field("Verdict", choice(verdicts));
const words = field("Words", Object.assign(document.createElement("input"), {type: "search"}));
const clear = Object.assign(document.createElement("button"), {type: "reset", textContent: "Show all"});
const count = document.createElement("output");
form.append(clear, count);
const update = () => {
  const asked = words.value.toLowerCase().split(/\s+/).filter(Boolean);
  const fits = each => (!letter.value || each.letter === letter.value)
    && (!verdict.value || each.verdict === verdict.value) && asked.every(word => each.text.includes(word));
  facts.forEach((each, row) => { row.hidden = !fits(each); });
  count.value = `${rows.filter(row => !row.hidden).length} of ${rows.length} claims`;
};
form.addEventListener("input", update);
form.addEventListener("submit", event => event.preventDefault());
form.addEventListener("reset", () => setTimeout(update));  // when the fields are empty
const frame = table.closest(".pst-scrollable-table-container") ?? table;
frame.before(form);
update();
})();
