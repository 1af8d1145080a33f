// How the sizes of a network's signals change from layer to layer, by mean-field theory; sliders set depth and weights.
const menu = figure.querySelector("select"), dial = figure.querySelector("input.variance");
const left = 76, right = 620, top = 16, bottom = 300, highest = 4, lowest = -16;

// The mean of f over a normal distribution of variance q.
const mean = (f, q) => data.nodes.reduce((sum, node, i) => sum + data.weights[i] * f(Math.sqrt(q) * node), 0);
function sizes(depth, variance, relu) {
  const h = [data.input], delta = Array(depth + 1).fill(1), inputs = [];
  for (let layer = 1; layer <= depth; layer++) {
    inputs[layer] = variance * h[layer - 1] ** 2;
    // ReLU sets half to zero, exactly; the sum over nodes is right for what is smooth.
    h[layer] = Math.sqrt(relu ? inputs[layer] / 2 : mean(z => Math.tanh(z) ** 2, inputs[layer]));
  }
  for (let layer = depth - 1; layer >= 1; layer--) {
    const slope = relu ? 0.5 : mean(z => (1 - Math.tanh(z) ** 2) ** 2, inputs[layer]);
    delta[layer] = delta[layer + 1] * Math.sqrt(variance * slope);
  }
  const layers = Array.from({length: depth}, (_, i) => i + 1);
  return [layers.map(layer => h[layer]), layers.map(layer => delta[layer]), layers.map(layer => delta[layer] * h[layer - 1])];
}

const digits = "⁰¹²³⁴⁵⁶⁷⁸⁹";
const power = value => (value < 0 ? "⁻" : "") + [...`${Math.abs(value)}`].map(digit => digits[digit]).join("");

function words(value) {
  if (value >= 0.01 && value < 99.5) return value.toPrecision(2);
  const exponent = Math.floor(Math.log10(value));
  return `${(value / 10 ** exponent).toFixed(1)} · 10${power(exponent)}`;
}

function draw() {
  const depth = Number(slider.value) + 2, variance = data.variances[dial.value], pen = pens[0];
  const across = layer => left + (right - left) * (layer - 1) / (depth - 1);
  const down = value => top + (bottom - top) * (highest - Math.log10(value)) / (highest - lowest);
  pen.clearRect(0, 0, 640, 360);
  pen.fillStyle = "white";
  pen.fillRect(0, 0, 640, 360);
  Object.assign(pen, {font: "16px sans-serif", textAlign: "right", textBaseline: "middle", lineWidth: 1});
  for (let exponent = lowest; exponent <= highest; exponent += 4) {
    const y = down(10 ** exponent);
    pen.fillStyle = "black";
    pen.fillText(exponent ? `10${power(exponent)}` : "1", left - 12, y);
    pen.fillStyle = exponent ? "#ccc" : "#888";
    pen.fillRect(left, y, right - left, 1);
  }
  pen.textAlign = "center";
  pen.fillStyle = "black";
  const every = Math.ceil(depth / 10);
  for (let layer = 1; layer <= depth; layer += every) pen.fillText(layer, across(layer), bottom + 20);
  pen.fillText("hidden layer", (left + right) / 2, bottom + 44);
  const curves = sizes(depth, variance, Number(menu.value));
  pen.save();
  pen.beginPath();
  pen.rect(left, top, right - left, bottom - top);
  pen.clip(); // what leaves the picture is cut, or it would look level
  curves.forEach((curve, i) => {
    pen.strokeStyle = data.colours[i];
    pen.setLineDash(data.dashes[i]);
    pen.lineWidth = 3;
    pen.beginPath();
    curve.forEach((value, layer) => pen.lineTo(across(layer + 1), down(value)));
    pen.stroke();
  });
  pen.restore();
  const [h, delta, product] = curves;
  const named = {[1 / 3]: "the document's 1/3", 1: "1", 2: "2", 3: "3"}[variance] ?? variance.toPrecision(2);
  const level = product[0] / product[depth - 1];
  dial.setAttribute("aria-valuetext", `${named} over the inputs`);
  slider.setAttribute("aria-valuetext", `${depth} layers`);
  told.textContent = `Var(w) = ${named} / n, ${depth} layers. Last activation over first: ${words(h[depth - 1] / h[0])}. ` +
    `First error signal over last: ${words(delta[0])}. Weight gradient, first over last layer: ${words(level)}.`;
}

menu.addEventListener("change", draw);
dial.addEventListener("input", draw);
