"use strict";
// Learning curves of all trials, with the rungs at which they are compared.

function curves() {
  const box = document.getElementById("curves");
  const told = document.getElementById("curves-told");
  const logarithmic = document.getElementById("curves-log");
  let place = null;

  const scalesNow = () => {
    const { values } = trials();
    const [low, high] = inner(values.flat().filter((value) => value !== null));
    const kind = logarithmic.checked ? "log" : "linear";
    return [new Scale({ kind, low: 1, high: Math.max(2, stage().length) }),
            new Scale({ kind: "linear", low, high })];
  };

  const draw = (g, width, height) => {
    const [across, up] = scalesNow();
    place = axes(g, width, height, across, up, { x: "virtual epoch", y: stage().metric, margin: { ...MARGIN, top: 24 } });
    g.setLineDash([3, 4]);
    g.strokeStyle = colour("soft");
    g.fillStyle = colour("soft");
    g.textAlign = "left";
    g.textBaseline = "top";
    let free = 0;
    for (const rung of stage().rungs) {
      line(g, place.x(rung), 22, place.x(rung), height - MARGIN.bottom);
      const text = `rung ${rung}`, at = place.x(rung) + 3;
      if (at < free) continue;
      g.fillText(text, at, 8);
      free = at + g.measureText(text).width + 6;
    }
    g.setLineDash([]);
    for (const trial of painted()) curve(g, trial, strokeOf(trial));
    g.globalAlpha = 1;
    tell(up);
  };

  const tell = (up) => {
    const values = trials().values.flat();
    const beyond = values.filter((value) => value !== null && (value < up.low || value > up.high)).length;
    const infinite = values.filter((value) => value === null).length;
    told.textContent = [
      beyond ? `${beyond} of ${values.length} values are far off the others and drawn at the edge.` : "",
      infinite ? `${infinite} values are not finite.` : "",
    ].join(" ");
  };

  const curve = (g, trial, [stroke, thick, alpha]) => {
    const values = trials().values[trial];
    if (!values.length) return;
    g.strokeStyle = g.fillStyle = stroke;
    g.lineWidth = thick;
    g.globalAlpha = passes(trial) ? alpha : 0.06;
    g.beginPath();
    values.forEach((value, at) => value !== null && g.lineTo(place.x(at + 1), place.y(value)));
    g.stroke();
    const end = values.findLastIndex((value) => value !== null);
    if (end < 0) return;
    g.beginPath();
    g.arc(place.x(end + 1), place.y(values[end]), thick + 0.6, 0, 7);
    g.fill();
  };

  const hit = (x, y) => {
    let found = null, least = 15 ** 2;
    trials().values.forEach((values, trial) => {
      if (!passes(trial)) return;
      values.forEach((value, at) => {
        if (value === null) return;
        const far = (place.x(at + 1) - x) ** 2 + (place.y(value) - y) ** 2;
        if (far < least) [found, least] = [trial, far];
      });
    });
    return found;
  };

  const label = "Learning curves of all trials; arrow keys go through the trials from the best on";
  new Chart(box, { height: () => Math.min(420, Math.max(260, box.clientWidth * 0.5)), label, draw, hit,
    mark: (g, trial) => curve(g, trial, markOf(trial)), of: () => String(logarithmic.checked) });
  logarithmic.addEventListener("change", changed);
}
