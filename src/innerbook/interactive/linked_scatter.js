// The same points on several maps; the pointer or the slider picks one, which is marked on all of them.
const digit = pens.pop(), SIDE = 20, NEAREST = 10, sheet = new Image();
canvases.pop();
const count = data.labels.length;

const still = pens.map((pen, k) => {
  pen.globalAlpha = 0.6;
  data.places[k].forEach(([x, y], i) => {
    pen.fillStyle = data.colours[data.labels[i]];
    pen.fillRect(x - 1.5, y - 1.5, 3, 3);
  });
  pen.globalAlpha = 1;
  Object.assign(pen, {font: "bold 18px sans-serif", textAlign: "center", textBaseline: "middle", lineWidth: 4});
  pen.strokeStyle = "white";
  pen.fillStyle = "black";
  data.names[k].forEach(([label, x, y]) => {
    pen.strokeText(label, x, y);
    pen.fillText(label, x, y);
  });
  return pen.getImageData(0, 0, 320, 320);
});

function alike(k, chosen) {
  const [x, y] = data.places[k][chosen];
  const far = data.places[k].map(([a, b], i) => [i === chosen ? Infinity : Math.hypot(a - x, b - y), i]);
  far.sort((one, other) => one[0] - other[0]);
  return far.slice(0, NEAREST).filter(([, i]) => data.labels[i] === data.labels[chosen]).length;
}

function draw() {
  const chosen = Number(slider.value);
  digit.clearRect(0, 0, 100, 100);
  digit.imageSmoothingEnabled = false;
  digit.drawImage(sheet, SIDE * (chosen % 50), SIDE * Math.floor(chosen / 50), SIDE, SIDE, 0, 0, 100, 100);
  pens.forEach((pen, k) => {
    pen.putImageData(still[k], 0, 0);
    pen.lineWidth = 3;
    pen.strokeStyle = "black";
    pen.beginPath();
    pen.arc(...data.places[k][chosen], 8, 0, 7);
    pen.stroke();
  });
  const near = data.panels.map((panel, k) => `${panel}: ${alike(k, chosen)}`);
  told.textContent = `Image ${chosen + 1} of ${count}, a ${data.labels[chosen]}. ` +
    `Of its ${NEAREST} nearest points, so many are the same digit: ${near.join("; ")}.`;
  slider.setAttribute("aria-valuetext", `image ${chosen + 1}, a ${data.labels[chosen]}`);
}

canvases.forEach((canvas, k) => canvas.addEventListener("pointermove", event => {
  const box = canvas.getBoundingClientRect();
  const x = (event.clientX - box.left) * 320 / box.width, y = (event.clientY - box.top) * 320 / box.height;
  let best = 0, least = Infinity;
  data.places[k].forEach(([a, b], i) => {
    const distance = (a - x) ** 2 + (b - y) ** 2;
    if (distance < least) [best, least] = [i, distance];
  });
  if (least < 400 && best !== Number(slider.value)) {
    slider.value = best;
    draw();
  }
}));
sheet.addEventListener("load", draw);
sheet.src = data.sheet;
