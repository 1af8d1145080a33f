// Questions that a reader answers in the page; the build says what was measured (innerbook.build.predict). An answer can
// be changed until the reader asks to see, or comes back to it further down. It stays in this browser, for this page;
// where nothing may be kept, it lasts as long as the page.
(() => {
const questions = [...document.querySelectorAll("fieldset.predict")];
const box = questions[0].closest(".admonition"), back = document.querySelector(".admonition.predicted");
const place = `innerview predictions ${questions[0].dataset.page}`;

const make = (tag, attributes, ...children) => {
  const element = Object.assign(document.createElement(tag), attributes);
  element.append(...children);
  return element;
};

const addNumber = question => {
  const {unit = "", low = "", high = ""} = question.dataset;
  const input = make("input", {type: "number", step: "any", min: low, max: high, autocomplete: "off"});
  question.append(make("label", {}, "Your prediction:", input, unit));
};

const addChoice = (question, options) => options.forEach(option => {
  const text = option.querySelector("p") ?? option;
  const name = `predict-${questions.indexOf(question)}`, value = text.textContent.trim();
  const input = make("input", {type: "radio", autocomplete: "off", name, value});
  text.append(make("label", {}, input, make("span", {}, ...text.childNodes)));
});

const answer = question => {
  const input = question.querySelector("input:checked, input[type=number]");
  return input?.validity.valid ? input.value : "";
};

const fill = (question, value) => question.querySelectorAll("input").forEach(input => {
  if (input.type === "radio") input.checked = input.value === value;
  else input.value = value;
});

// What the reader has said, beside what was measured; nothing without an answer.
const told = question => {
  const value = answer(question), {name, unit = "", right} = question.dataset;
  if (!value) return [];
  const labels = [...question.querySelectorAll("input[type=radio] + span")];
  const quoted = label => ["“", ...label.cloneNode(true).childNodes, "”"];
  const chosen = labels.find(label => label.previousSibling.checked), wanted = labels[right - 1];
  const number = `${Number(value).toLocaleString("en", {maximumFractionDigits: 9})}${unit === "%" ? "" : " "}${unit}`;
  const parts = [make("strong", {}, `${name}.`), " You said ", ...chosen ? quoted(chosen) : [number.trim()]];
  if (wanted) parts.push(...chosen === wanted ? [", and that is right"] : [". Right is ", ...quoted(wanted)]);
  const measured = question.querySelector(".measured");
  return [...parts, ". ", ...measured ? ["Measured: ", ...measured.cloneNode(true).childNodes, "."] : []];
};

let kept = {};
try {
  kept = JSON.parse(localStorage.getItem(place)) ?? {};
} catch { /* Nothing may be kept, or what was kept is not ours. */ }
const keep = () => {
  kept.answers = Object.fromEntries(questions.map(question => [question.dataset.name, answer(question)]));
  try {
    localStorage.setItem(place, JSON.stringify(kept));
  } catch { /* Then it lasts as long as the page. */ }
};

const see = make("button", {type: "button"}, "See what was measured");
const again = make("button", {type: "button"}, "Start over");
const hint = make("output", {});
const said = make("div", {className: "said"});
const show = () => {
  for (const question of questions) {
    const closed = Boolean(kept.seen && answer(question));
    if (closed === question.disabled) continue;  // what is said already is not read aloud again
    question.disabled = closed;
    question.querySelector("output").replaceChildren(...closed ? told(question) : []);
  }
  see.hidden = Boolean(kept.seen);
  again.hidden = !kept.seen;
  hint.textContent = "Answers stay in this browser.";
  said.replaceChildren(...questions.map(told).filter(parts => parts.length).map(parts => make("p", {}, ...parts)));
};
const update = seen => {
  kept.seen = seen;
  keep();
  show();
};

questions.forEach(question => {
  const options = [...question.querySelectorAll("li")];
  if (options.length) addChoice(question, options);
  else addNumber(question);
  question.append(make("output", {className: "said"}));
  fill(question, kept.answers?.[question.dataset.name] ?? "");
});
box.append(make("p", {className: "see"}, see, again, hint));
back?.querySelector(".admonition-title").after(said);
show();

box.addEventListener("change", () => update(kept.seen));
see.addEventListener("click", () => {
  const wrong = box.querySelector("input:invalid");
  if (wrong) return wrong.reportValidity();
  if (!questions.some(answer)) {
    hint.textContent = "First say what you expect, or read on.";
    return;
  }
  update(true);
  again.focus();
});
again.addEventListener("click", () => {
  questions.forEach(question => fill(question, ""));
  update(false);
  box.querySelector("input").focus();
});
if (back) new IntersectionObserver(([entry]) => {
  if (entry.isIntersecting && !kept.seen && questions.some(answer)) update(true);
}).observe(back);
})();
