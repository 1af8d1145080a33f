// A cloud of points in three dimensions for each canvas; a notch of the slider is five degrees.
function draw() {
  const degrees = 5 * slider.value, angle = degrees * Math.PI / 180, c = Math.cos(angle), s = Math.sin(angle);
  told.textContent = `${degrees} degrees`;
  pens.forEach((pen, k) => {
    pen.clearRect(0, 0, 320, 320);
    pen.globalAlpha = 0.7;
    data.clouds[k].forEach(([x, y, z], i) => {
      pen.fillStyle = data.colours[data.groups[i]];
      pen.fillRect(160 + x * c + z * s - 2, 160 - y - 2, 4, 4);
    });
  });
}
