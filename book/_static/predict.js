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

// A line: a slider for each place, and a picture of them, in which one can draw as well.
const SIZE = [340, 210], LEFT = 52, RIGHT = 334, TOP = 10, BOTTOM = 180;
const draw = (tag, attributes, ...children) => {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
};

const RAISED = {"-": "⁻", ...Object.fromEntries([..."⁰¹²³⁴⁵⁶⁷⁸⁹"].entries())};
const lines = new Map();  // of a question, what is needed to draw its line
const addLine = question => {
  const {low, high, scale} = question.dataset, places = question.dataset.places.split(", ");
  const bend = scale ? Math.log10 : value => value, [least, most] = [low, high].map(Number).map(bend);
  const across = k => LEFT + (k + 0.5) * (RIGHT - LEFT) / places.length;
  const down = value => BOTTOM - (bend(value) - least) / (most - least) * (BOTTOM - TOP);
  const valueOf = notch => scale ? 10 ** (least + notch / 100 * (most - least)) : least + notch / 100 * (most - least);
  const power = value => value.replace(/e([+-]\d+)/, (_, by) => ` × 10${[...by].map(sign => RAISED[sign] ?? "").join("")}`);
  const text = value => scale ? power(value.toExponential(1)) : value.toFixed(most - least > 20 ? 0 : 2);
  const hidden = kind => question.querySelector(`[hidden].${kind}`)?.textContent.split(":");
  const numbers = kind => hidden(kind)?.at(-1).trim().split(/\s+/).map(Number);
  const name = hidden("given")?.length > 1 ? hidden("given")[0].trim() : "";
  // A word that all places begin with stands beside the axis once.
  const [word] = places[0].split(" "), short = places.every(place => place.startsWith(`${word} `));
  const inputs = places.map(place => {
    const input = make("input", {type: "range", min: 0, max: 100, value: 50, autocomplete: "off"});
    const shown = make("span", {className: "value"});
    input.addEventListener("input", () => {
      input.dataset.set = "yes";
      picture();
    });
    question.append(make("label", {className: "place"}, place, input, shown));
    return input;
  });
  const plot = draw("svg", {viewBox: `0 0 ${SIZE.join(" ")}`, class: "line", "aria-hidden": "true"});
  const along = (kind, values) => draw("g", {class: kind},
    draw("polyline", {points: values.map((value, k) => value === null ? "" : `${across(k)},${down(value)}`).join(" ")}),
    ...values.flatMap((value, k) => value === null ? [] : draw("circle", {cx: across(k), cy: down(value), r: 5})));
  const tick = value => scale ? power(value.toExponential(0)).replace("1 × ", "") : text(value);
  const frame = () => [
    ...[0, 25, 50, 75, 100].map(valueOf).flatMap(value => [
      draw("line", {x1: LEFT, x2: RIGHT, y1: down(value), y2: down(value)}),
      draw("text", {x: LEFT - 6, y: down(value) + 4, "text-anchor": "end"}, tick(value)),
    ]),
    ...short ? [draw("text", {x: LEFT - 6, y: BOTTOM + 22, "text-anchor": "end"}, word)] : [],
    ...places.map((place, k) => {
      const label = short ? place.slice(word.length + 1) : place;
      return draw("text", {x: across(k), y: BOTTOM + 22, "text-anchor": "middle"}, label);
    }),
  ];
  const values = () => inputs.map(input => input.dataset.set ? valueOf(input.value) : null);
  const picture = () => {
    inputs.forEach(input => {
      const said = input.dataset.set ? text(valueOf(input.value)) : "?";
      input.nextSibling.textContent = said;
      input.setAttribute("aria-valuetext", said);
    });
    const given = numbers("given"), found = question.disabled && numbers("measured");
    plot.replaceChildren(...frame(), ...given ? [along("given", given)] : [], along("yours", values()),
      ...found ? [along("found", found)] : []);
  };
  const move = event => {
    if (question.disabled || !event.buttons) return;
    const box = plot.getBoundingClientRect();
    const x = (event.clientX - box.left) * SIZE[0] / box.width, y = (event.clientY - box.top) * SIZE[1] / box.height;
    const k = Math.floor((x - LEFT) / (RIGHT - LEFT) * places.length);
    if (!inputs[k]) return;
    inputs[k].value = Math.round((BOTTOM - y) / (BOTTOM - TOP) * 100);
    inputs[k].dispatchEvent(new Event("input"));
  };
  plot.addEventListener("pointerdown", event => {
    plot.setPointerCapture(event.pointerId);
    move(event);
  });
  plot.addEventListener("pointermove", move);
  plot.addEventListener("pointerup", () => inputs[0].dispatchEvent(new Event("change", {bubbles: true})));
  const key = make("small", {className: "key"}, ...Object.entries({yours: "yours", given: name, found: "measured"})
    .map(([kind, text]) => make("span", {className: kind}, text && `\u25cf ${text}`)));
  question.querySelector("legend").after(make("small", {}, "Draw into the picture, or use the sliders."), plot, key);
  const list = all => all.map((value, k) => `${places[k]} ${text(value)}`).join(", ");
  lines.set(question, {inputs, picture,
    plot: () => {
      const copy = plot.cloneNode(true);
      if (!copy.querySelector(".found")) copy.append(along("found", numbers("measured")));
      return [copy, key.cloneNode(true)];
    },
    told: () => [` You drew: ${list(values())}. Measured: ${list(numbers("measured"))}.`],
  });
  picture();
};

const answer = question => {
  const line = lines.get(question);
  if (line) return line.inputs.every(input => input.dataset.set) ? line.inputs.map(input => input.value).join(" ") : "";
  const input = question.querySelector("input:checked, input[type=number]");
  return input?.validity.valid ? input.value : "";
};

const fill = (question, value) => question.querySelectorAll("input").forEach((input, k) => {
  if (input.type === "range") {
    input.value = value ? value.split(" ")[k] : 50;
    input.dataset.set = value ? "yes" : "";
    lines.get(question).picture();
  } else if (input.type === "radio") input.checked = input.value === value;
  else input.value = value;
});

// What the reader has said, beside what was measured; nothing without an answer.
const told = question => {
  const value = answer(question), {name, unit = "", right} = question.dataset;
  if (!value) return [];
  const line = lines.get(question);
  if (line) return [make("strong", {}, `${name}.`), ...line.told()];
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
    lines.get(question)?.picture();
    question.querySelector("output").replaceChildren(...closed ? told(question) : []);
  }
  see.hidden = Boolean(kept.seen);
  again.hidden = !kept.seen;
  hint.textContent = "Answers stay in this browser.";
  said.replaceChildren(...questions.map(told).filter(parts => parts.length).map(parts => make("p", {}, ...parts)),
    ...questions.filter(answer).flatMap(question => lines.get(question)?.plot() ?? []));
};
const update = seen => {
  kept.seen = seen;
  keep();
  show();
};

questions.forEach(question => {
  const options = [...question.querySelectorAll("li")];
  if (options.length) addChoice(question, options);
  else if (question.dataset.places) addLine(question);
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
