// A digit, drawn or stored, goes through a network of ReLU layers, whose kernels are here in eight bits.
const SIDE = 28, PEN = 1.2, NEAREST = 6, DEEPEST = data.kernels.length - 1; // DEEPEST: how many layers are hidden
const OUTPUTS = 2 + DEEPEST, pad = canvases[0], clear = figure.querySelector("button");
const across = figure.querySelector("input.across"), down = figure.querySelector("input.down");
async function inflated(text) {
  const packed = new Blob([Uint8Array.from(atob(text), letter => letter.charCodeAt(0))]);
  return new Response(packed.stream().pipeThrough(new DecompressionStream("deflate"))).arrayBuffer();
}
const kernels = (await Promise.all(data.kernels.map(inflated))).map(buffer => new Int8Array(buffer));
const pixels = new Uint8Array(await inflated(data.images));
const stored = data.labels.map((_, i) => Float64Array.from(pixels.subarray(784 * i, 784 * i + 784), byte => byte / 255));
let lines = null; // of a drawing, each a list of points; none while a stored digit is shown

function dense(inputs, layer) {
  const kernel = kernels[layer], biases = data.biases[layer], sums = new Float64Array(biases.length);
  inputs.forEach((value, i) => {
    if (value) for (let j = 0; j < sums.length; j++) sums[j] += value * kernel[i * sums.length + j];
  });
  return sums.map((sum, j) => sum * data.scales[layer][j] + biases[j]);
}
// Every hidden layer, the first one first.
function hiddenOf(image) {
  const layers = [image];
  for (let layer = 0; layer < DEEPEST; layer++) layers.push(dense(layers[layer], layer).map(z => Math.max(0, z)));
  return layers.slice(1);
}
function softmax(logits) {
  const most = Math.max(...logits), shares = logits.map(z => Math.exp(z - most));
  const sum = shares.reduce((a, b) => a + b);
  return shares.map(share => share / sum);
}
const known = stored.map(image => hiddenOf(image).at(-1));

// The distance of a point from the line between two others.
function distance([x, y], [ax, ay], [bx, by]) {
  const length = (bx - ax) ** 2 + (by - ay) ** 2;
  const along = length && Math.min(1, Math.max(0, ((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / length));
  return Math.hypot(x - ax - along * (bx - ax), y - ay - along * (by - ay));
}

// What a round pen with a soft edge leaves on each pixel.
function ink(drawn) {
  return Float64Array.from({length: SIDE * SIDE}, (_, i) => {
    const middle = [i % SIDE + 0.5, Math.floor(i / SIDE) + 0.5];
    let least = Infinity;
    for (const line of drawn) line.forEach((point, k) => {
      least = Math.min(least, distance(middle, line[Math.max(0, k - 1)], point));
    });
    return Math.min(1, Math.max(0, PEN + 0.5 - least));
  });
}

// As the images of MNIST were made: scaled to a box of 20 x 20 pixels, then the centre of mass in the middle.
function prepared() {
  if (!lines.length) return new Float64Array(SIDE * SIDE);
  const along = [0, 1].map(axis => lines.flat().map(point => point[axis]));
  const ends = along.map(values => [Math.min(...values), Math.max(...values)]);
  const size = Math.max(...ends.map(([least, most]) => most - least), 1), scale = (20 - 2 * PEN) / size;
  const change = (drawn, how) => drawn.map(line => line.map(point => point.map(how)));
  const scaled = change(lines, (value, axis) => (value - (ends[axis][0] + ends[axis][1]) / 2) * scale + SIDE / 2);
  const image = ink(scaled), mass = image.reduce((a, b) => a + b);
  const mean = place => image.reduce((sum, value, i) => sum + value * (place(i) + 0.5), 0) / mass;
  const centre = [mean(i => i % SIDE), mean(i => Math.floor(i / SIDE))];
  return ink(change(scaled, (value, axis) => value + SIDE / 2 - centre[axis]));
}

function moved(image) {
  return image.map((_, i) => {
    const x = i % SIDE - across.value, y = Math.floor(i / SIDE) - down.value;
    return x >= 0 && x < SIDE && y >= 0 && y < SIDE ? image[SIDE * y + x] : 0;
  });
}

// Cells from white to black, the largest of them.
function grey(pen, values, columns, [left, top], size, most) {
  values.forEach((value, i) => {
    const level = 255 - Math.round(255 * Math.min(1, value / (most || 1)));
    const column = i % columns, row = Math.floor(i / columns);
    const [x, y] = [left + column * size, top + row * size].map(Math.round); // whole pixels, or thin lines would show
    pen.fillStyle = `rgb(${level}, ${level}, ${level})`;
    pen.fillRect(x, y, Math.round(left + (column + 1) * size) - x, Math.round(top + (row + 1) * size) - y);
  });
}

function blank(k) {
  pens[k].fillStyle = "white";
  pens[k].fillRect(0, 0, 320, canvases[k].height);
  Object.assign(pens[k], {fillStyle: "black", font: "22px sans-serif", textBaseline: "middle", textAlign: "center"});
}

function drawPad() {
  blank(0);
  if (!lines?.length) {
    pens[0].fillStyle = "#666";
    pens[0].fillText("with mouse or finger", 160, 160);
  }
  Object.assign(pens[0], {lineWidth: 24, lineCap: "round", lineJoin: "round", strokeStyle: "black"});
  for (const line of lines ?? []) {
    pens[0].beginPath();
    [line[0], ...line].forEach(([x, y]) => pens[0].lineTo(x * 320 / SIDE, y * 320 / SIDE));
    pens[0].stroke();
  }
}

const percent = share => `${(100 * share).toFixed(1)}%`;
function drawOutputs(outputs, best) {
  const pen = pens[OUTPUTS];
  blank(OUTPUTS);
  outputs.forEach((share, digit) => {
    const y = 32 * digit + 16;
    pen.fillStyle = digit === best ? data.colour : "#888";
    pen.fillRect(34, y - 11, Math.max(1, 190 * share), 22);
    pen.fillStyle = "black";
    pen.fillText(digit, 17, y);
    pen.fillText(percent(share), 272, y);
  });
  const all = [...outputs].map((share, digit) => `${digit}: ${(100 * share).toFixed(4)}%`);
  canvases[OUTPUTS].setAttribute("aria-label", `outputs. ${all.join(", ")}`);
}

function drawNearest(hidden, itself) {
  const away = known.map(other => other.reduce((sum, h, j) => sum + (h - hidden[j]) ** 2, 0));
  const others = [...away.keys()].filter(i => i !== itself);
  const near = others.sort((i, j) => away[i] - away[j]).slice(0, NEAREST);
  const pen = pens[OUTPUTS + 1];
  blank(OUTPUTS + 1);
  near.forEach((i, k) => {
    const left = 107 * (k % 3) + 6, top = 125 * Math.floor(k / 3) + 2;
    grey(pen, stored[i], SIDE, [left, top], 94 / SIDE, 1);
    pen.fillStyle = "black";
    pen.fillText(data.labels[i], left + 47, top + 107);
  });
  return near;
}

// The six are ringed, and a cross marks the median of their places. Returns the digit whose middle is nearest to it.
function mark(k, near) {
  const pen = pens[OUTPUTS + 2 + k], places = data.places[k];
  drawMap(pen, places, data.names[k]);
  Object.assign(pen, {strokeStyle: "black", lineWidth: 1.5});
  for (const i of near) {
    pen.beginPath();
    pen.arc(...places[i], 5, 0, 7);
    pen.stroke();
  }
  const [x, y] = [0, 1].map(axis => {
    const sorted = near.map(i => places[i][axis]).sort((a, b) => a - b), half = (sorted.length - 1) / 2;
    return (sorted[Math.floor(half)] + sorted[Math.ceil(half)]) / 2;
  });
  for (const [colour, width] of [["white", 6], ["black", 3]]) {
    Object.assign(pen, {strokeStyle: colour, lineWidth: width});
    pen.beginPath();
    for (const down of [7, -7]) {
      pen.moveTo(x - 7, y - down);
      pen.lineTo(x + 7, y + down);
    }
    pen.stroke();
  }
  const away = data.names[k].map(([, a, b]) => Math.hypot(a - x, b - y));
  return data.names[k][away.indexOf(Math.min(...away))][0];
}

function draw() {
  const chosen = Number(slider.value), label = data.labels[chosen], image = moved(lines ? prepared() : stored[chosen]);
  const layers = hiddenOf(image), outputs = softmax(dense(layers.at(-1), DEEPEST));
  const best = outputs.indexOf(Math.max(...outputs));
  drawPad();
  grey(pens[1], image, SIDE, [0, 0], 320 / SIDE, 1);
  layers.forEach((hidden, k) => {
    blank(2 + k);
    grey(pens[2 + k], hidden, 20, [0, 0], 16, Math.max(...hidden));
  });
  drawOutputs(outputs, best);
  const near = drawNearest(layers.at(-1), lines ? -1 : chosen);
  const islands = data.places.map((_, k) => ` The cross is nearest to the middle of the ${mark(k, near)}s.`);
  const drawn = lines?.length ? "Your drawing" : "An empty pad";
  const what = lines ? drawn : `Stored image ${chosen + 1} of ${stored.length}, a ${label}`;
  const away = `, moved by ${across.value} to the right and ${down.value} down`;
  const where = across.value === "0" && down.value === "0" ? "" : away;
  told.textContent = `${what}${where}. The network reads: ${best}, with a probability of ${percent(outputs[best])}. ` +
    `The six nearest are ${near.map(i => data.labels[i]).join(", ")}.${islands.join("")}`;
  slider.setAttribute("aria-valuetext", `image ${chosen + 1}, a ${label}`);
}

const place = event => {
  const box = pad.getBoundingClientRect();
  return [(event.clientX - box.left) * SIDE / box.width, (event.clientY - box.top) * SIDE / box.height];
};
pad.style.touchAction = "none"; // a finger draws, and does not scroll
pad.style.cursor = "crosshair";
pad.addEventListener("pointerdown", event => {
  pad.setPointerCapture(event.pointerId);
  lines = [...(lines ?? []), [place(event)]];
  draw();
});
pad.addEventListener("pointermove", event => {
  if (!pad.hasPointerCapture(event.pointerId) || !lines?.length) return;
  lines.at(-1).push(place(event));
  draw();
});
clear.addEventListener("click", () => {
  lines = [];
  across.value = down.value = 0;
  draw();
});
[across, down].forEach(input => input.addEventListener("input", draw));
slider.addEventListener("input", () => { lines = null; });
