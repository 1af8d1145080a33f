// How the size of a signal changes from the output layer back to the first; the slider is the number of layers.
function draw() {
  const depth = Number(slider.value) + 2, pen = pens[0], left = 70, right = 620, top = 20, bottom = 270, decades = 12;
  const across = layer => left + (right - left) * (layer - 1) / (depth - 1);
  const down = value => top + (bottom - top) * Math.min(decades, -Math.log10(value)) / decades;
  pen.clearRect(0, 0, 640, 320);
  Object.assign(pen, {font: "14px sans-serif", textAlign: "right", textBaseline: "middle", lineWidth: 1});
  for (let power = 0; power <= decades; power += 3) {
    const y = down(10 ** -power);
    pen.fillStyle = "black";
    pen.fillText(power ? `1e-${power}` : "1", left - 12, y);
    pen.fillStyle = "#ccc";
    pen.fillRect(left, y, right - left, 1);
  }
  pen.textAlign = "center";
  pen.fillStyle = "black";
  const every = Math.ceil(depth / 10);
  for (let layer = 1; layer <= depth; layer += every) pen.fillText(layer, across(layer), bottom + 18);
  pen.fillText("layer", (left + right) / 2, bottom + 38);
  const ends = data.ratios.map((ratio, i) => {
    pen.strokeStyle = data.colours[i];
    pen.setLineDash(data.dashes[i]);
    pen.lineWidth = 3;
    pen.beginPath();
    for (let layer = depth; layer >= 1; layer--) pen.lineTo(across(layer), down(ratio ** (depth - layer)));
    pen.stroke();
    return `${data.names[i]}: ${(ratio ** (depth - 1)).toPrecision(2)}`;
  });
  pen.setLineDash([]);
  told.textContent = `${depth} layers. Gradient in layer 1, as a share of that in the last: ${ends.join("; ")}.`;
  slider.setAttribute("aria-valuetext", told.textContent);
}
