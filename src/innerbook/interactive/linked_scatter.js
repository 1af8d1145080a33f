// The same points on several maps; pointer, finger, slider or button picks one, which is marked on all of them.
const SIDE = 20, NEAREST = 10, TILE = 64, sheet = new Image();
const count = data.labels.length, button = figure.querySelector("button");
const notes = [...figure.querySelectorAll("small")];
let touched = 0; // the map that was touched last

const still = pens.map((pen, k) => {
  drawMap(pen, data.places[k], data.names[k]);
  return pen.getImageData(0, 0, 320, 320);
});

function alike(k, chosen) {
  const [x, y] = data.places[k][chosen], near = [];
  data.places[k].forEach(([a, b], i) => {
    if (i === chosen) return;
    const distance = (a - x) ** 2 + (b - y) ** 2;
    if (near.length === NEAREST && distance >= near[NEAREST - 1][0]) return;
    let at = near.length;
    while (at && near[at - 1][0] > distance) at--;
    near.splice(at, 0, [distance, i]);
    near.length = Math.min(near.length, NEAREST);
  });
  return near.filter(([, i]) => data.labels[i] === data.labels[chosen]).length;
}

// The digit in a frame beside its point, where there is room for it.
function show(pen, chosen, [x, y]) {
  const across = x < 160 ? x + 14 : x - 14 - TILE, down = Math.max(2, Math.min(318 - TILE, y - TILE / 2));
  pen.imageSmoothingEnabled = false;
  pen.drawImage(sheet, SIDE * (chosen % 50), SIDE * Math.floor(chosen / 50), SIDE, SIDE, across, down, TILE, TILE);
  pen.lineWidth = 2;
  pen.strokeRect(across, down, TILE, TILE);
}

function draw() {
  const chosen = Number(slider.value), near = data.panels.map((_, k) => alike(k, chosen));
  pens.forEach((pen, k) => {
    pen.putImageData(still[k], 0, 0);
    pen.lineWidth = 3;
    pen.strokeStyle = "black";
    pen.beginPath();
    pen.arc(...data.places[k][chosen], 8, 0, 7);
    pen.stroke();
    if (k === touched && sheet.complete) show(pen, chosen, data.places[k][chosen]);
    notes[k].textContent = `${near[k]} of ${NEAREST} alike`;
  });
  told.textContent = `Image ${chosen + 1} of ${count}, a ${data.labels[chosen]}. Under each map: how many of its ` +
    `${NEAREST} nearest points there are the same digit.`;
  const each = data.panels.map((panel, k) => `${panel}: ${near[k]}`).join("; ");
  slider.setAttribute("aria-valuetext", `image ${chosen + 1}, a ${data.labels[chosen]}; alike on ${each}`);
}

function pick(k, event) {
  const box = canvases[k].getBoundingClientRect();
  const x = (event.clientX - box.left) * 320 / box.width, y = (event.clientY - box.top) * 320 / box.height;
  let best = 0, least = Infinity;
  data.places[k].forEach(([a, b], i) => {
    const distance = (a - x) ** 2 + (b - y) ** 2;
    if (distance < least) [best, least] = [i, distance];
  });
  if (least < 400 && (best !== Number(slider.value) || touched !== k)) {
    slider.value = best;
    touched = k;
    draw();
  }
}

canvases.forEach((canvas, k) => {
  canvas.addEventListener("pointermove", event => pick(k, event));
  canvas.addEventListener("pointerdown", event => pick(k, event));
});
button.addEventListener("click", () => {
  const begin = Number(slider.value);
  for (let step = 1; step <= count; step++) {
    const next = (begin + step) % count;
    if (alike(touched, next) < NEAREST / 2) {
      slider.value = next;
      return draw();
    }
  }
  told.textContent = `No digit is a stray on the map of ${data.panels[touched]}.`;
});
sheet.addEventListener("load", draw);
sheet.src = data.sheet;
