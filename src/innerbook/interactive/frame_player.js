// A sequence of grids of grey cells for each canvas; the slider is the frame, the button lets it run, and a menu, if
// there is one, picks among several such films. If there are curves, the last canvas holds them.
const button = figure.querySelector("button"), FRAME_MS = 400;
const films = data.films.map(film => film.map(panel => ({...panel, cells: Uint8Array.from(atob(panel.cells), c => c.charCodeAt(0))})));
const menu = figure.querySelector("select");
let timer = null;

// Lines over the frames, with a mark at the one that is shown; all films have one scale.
function plot(curves, frame) {
  const pen = pens.at(-1), left = 44, right = 304, top = 16, bottom = 216, last = Math.max(1, data.captions.length - 1);
  const highest = Math.max(...data.curves.flat(2)) || 1;
  const across = i => left + (right - left) * i / last, down = value => bottom - (bottom - top) * value / highest;
  pen.fillStyle = "white";
  pen.fillRect(0, 0, 320, 240);
  Object.assign(pen, {font: "18px sans-serif", textAlign: "right", fillStyle: "black", lineWidth: 3});
  pen.fillText("0", left - 8, bottom);
  pen.fillText(Number(highest.toPrecision(2)), left - 8, top);
  pen.fillStyle = "#888";
  pen.fillRect(left, bottom, right - left, 1);
  pen.fillRect(across(frame), top, 1, bottom - top);
  curves.forEach((line, k) => {
    pen.strokeStyle = pen.fillStyle = data.colours[k];
    pen.setLineDash([[], [10, 5], [3, 5]][k % 3]);
    pen.beginPath();
    line.forEach((value, i) => pen.lineTo(across(i), down(value)));
    pen.stroke();
    pen.beginPath();
    pen.arc(across(frame), down(line[frame]), 6, 0, 7);
    pen.fill();
  });
}

function draw() {
  const frame = Number(slider.value), film = menu ? Number(menu.value) : 0, curves = data.curves?.[film];
  const values = (curves ?? []).map((line, k) => `${data.names[k]}: ${line[frame].toPrecision(2)}`);
  told.textContent = [data.captions[frame], ...values].join("; ");
  slider.setAttribute("aria-valuetext", told.textContent);
  if (curves) plot(curves, frame);
  films[film].forEach(({rows, columns, labels, cells}, k) => {
    const pen = pens[k], width = 320 / columns, height = canvases[k].height / rows;
    for (let i = 0; i < rows * columns; i++) {
      const value = cells[frame * rows * columns + i], x = i % columns * width, y = Math.floor(i / columns) * height;
      // 255 marks a cell that is no unit. Cells overlap by a little, or thin lines would show between them.
      pen.fillStyle = value === 255 ? "#cfe3f2" : `rgb(${254 - value}, ${254 - value}, ${254 - value})`;
      pen.fillRect(x, y, width + 0.5, height + 0.5);
      if (labels[i]) {
        pen.fillStyle = value < 127 ? "black" : "white";
        pen.fillText(labels[i], x + width / 2, y + height / 2);
      }
    }
  });
}

function stop() {
  clearInterval(timer);
  timer = null;
  button.textContent = "Play";
  told.setAttribute("aria-live", "polite");
}

pens.forEach(pen => Object.assign(pen, {font: "28px sans-serif", textAlign: "center", textBaseline: "middle"}));
button.addEventListener("click", () => {
  if (timer !== null) return stop();
  if (slider.value === slider.max) slider.value = 0;
  button.textContent = "Pause";
  told.setAttribute("aria-live", "off"); // a screen reader could not keep up
  timer = setInterval(() => {
    slider.value = Number(slider.value) + 1;
    draw();
    if (slider.value === slider.max || !figure.isConnected) stop();
  }, FRAME_MS);
});
if (menu) menu.addEventListener("change", draw);
slider.addEventListener("pointerdown", stop);
slider.addEventListener("keydown", stop);
