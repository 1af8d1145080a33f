// What becomes of a circle of errors, and which errors one output allows; the slider is the condition number.
const SPIKES = 12;

function shape(k, across, down, turn = 0) {
  const pen = pens[k];
  pen.beginPath();
  pen.ellipse(160, 160, across, down, turn, 0, 7);
  pen.fillStyle = data.fill;
  pen.fill();
}

function circle(k, radius) {
  const pen = pens[k];
  Object.assign(pen, {strokeStyle: "black", lineWidth: 2});
  pen.setLineDash([6, 5]);
  pen.beginPath();
  pen.arc(160, 160, radius, 0, 7);
  pen.stroke();
  pen.fillStyle = "black";
  pen.fillRect(157, 157, 6, 6);
}

function draw() {
  const kappa = Number(slider.value) + 1;
  pens.forEach(pen => {
    pen.fillStyle = "white";
    pen.fillRect(0, 0, 320, 320);
  });
  shape(0, 130 / kappa, 130);
  circle(0, 130);
  shape(1, data.unit * kappa, data.unit);
  circle(1, data.unit);
  // Neighbours in length stand apart, or the long ones would cover each other.
  for (let i = 0; i < SPIKES; i++) {
    const turn = -Math.PI / SPIKES * ((SPIKES / 2 + 5 * i) % SPIKES);
    shape(2, data.unit * kappa ** (i / (SPIKES - 1)), data.unit / 2, turn);
  }
  circle(2, data.unit);
  told.textContent = `Condition number ${kappa}. ` + (kappa === 1 ? "All errors of one size are seen alike." :
    `Along the long axis an error ${kappa} times as large changes the output no more than along the short one.`);
  slider.setAttribute("aria-valuetext", `condition number ${kappa}`);
}
