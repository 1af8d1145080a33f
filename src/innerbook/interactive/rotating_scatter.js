// A cloud of points in three dimensions for each canvas; the slider is the angle.
function draw() {
  const angle = slider.value * Math.PI / 180, c = Math.cos(angle), s = Math.sin(angle);
  told.textContent = `${slider.value} degrees`;
  pens.forEach((pen, k) => {
    pen.clearRect(0, 0, 320, 320);
    pen.globalAlpha = 0.7;
    data.clouds[k].forEach(([x, y, z], i) => {
      pen.fillStyle = data.colours[data.groups[i]];
      pen.fillRect(160 + (x * c + z * s) * 1.1 - 2, 160 - y * 1.45 - 2, 4, 4);
    });
  });
}
