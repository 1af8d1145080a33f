// A sequence of grids of grey cells for each canvas; the slider is the frame, the button lets it run, and a menu, if
// there is one, picks among several such films.
const button = figure.querySelector("button"), FRAME_MS = 400;
const films = data.films.map(film => film.map(panel => ({...panel, cells: Uint8Array.from(atob(panel.cells), c => c.charCodeAt(0))})));
const menu = figure.querySelector("select");
let timer = null;

function draw() {
  const frame = Number(slider.value);
  told.textContent = data.captions[frame];
  slider.setAttribute("aria-valuetext", data.captions[frame]);
  films[menu ? Number(menu.value) : 0].forEach(({rows, columns, labels, cells}, k) => {
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
