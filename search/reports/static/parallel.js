"use strict";
// Parallel coordinates: a line for each trial; dragging along an axis keeps the trials that pass there.

function parallel() {
  const TOP = 44, BOTTOM = 30, SIDE = 52;
  const box = document.getElementById("parallel");
  const axesOf = () => [...stage().parameters.keys(), VALUE];
  let from = null;

  const x = (place, width) => {
    const last = axesOf().length - 1;
    return last < 1 ? width / 2 : SIDE + place * (width - 2 * SIDE) / last;
  };
  const y = (part, height) => height - BOTTOM - 14 - part * (height - TOP - BOTTOM - 14);
  const partAt = (pixel, height) => (height - BOTTOM - 14 - pixel) / (height - TOP - BOTTOM - 14);

  const partsOf = (trial) => axesOf().map((axis) => partOn(axis, trial));

  const draw = (g, width, height) => {
    const faint = count() > 300 ? 0.3 : 0.6;
    for (const trial of painted()) {
      const parts = partsOf(trial), [, thick, alpha] = strokeOf(trial);
      if (parts.at(-1) !== null) path(g, trial, parts, [byValue(parts.at(-1)), thick, Math.max(alpha, faint)], width, height);
    }
    g.globalAlpha = 1;
    axesOf().forEach((axis, place) => oneAxis(g, axis, x(place, width), width, height, place));
  };

  const mark = (g, trial, width, height) => {
    const parts = partsOf(trial);
    if (parts.at(-1) !== null) path(g, trial, parts, markOf(trial), width, height);
  };

  const path = (g, trial, parts, [stroke, thick, alpha], width, height) => {
    g.strokeStyle = stroke;
    g.lineWidth = thick;
    g.globalAlpha = passes(trial) ? alpha : 0.05;
    g.beginPath();
    parts.forEach((part, place) => g.lineTo(x(place, width), y(part, height)));
    g.stroke();
  };

  const oneAxis = (g, axis, at, width, height, place) => {
    g.strokeStyle = colour("ink");
    g.lineWidth = 1;
    line(g, at, y(0, height), at, y(1, height));
    const limits = state.filters.get(axis);
    if (limits) {
      g.fillStyle = colour("chosen");
      g.globalAlpha = 0.35;
      g.fillRect(at - 6, y(limits[1], height), 12, y(limits[0], height) - y(limits[1], height));
      g.globalAlpha = 1;
    }
    const room = (width - 2 * SIDE) / Math.max(1, axesOf().length - 1) - 6;
    const name = axis === VALUE ? valueName() : stage().parameters[axis].name;
    g.textAlign = "center";
    g.fillStyle = colour("ink");
    g.textBaseline = "top";
    g.font = "600 12px system-ui, sans-serif";
    twoLines(name).forEach((text, row) => g.fillText(shortened(g, text, Math.max(60, room)), at, 2 + 15 * row));
    g.font = "11px system-ui, sans-serif";
    g.textBaseline = "middle";
    g.textAlign = place ? "right" : "left";
    for (const [value, text] of scaleOf(axis).ticks(4)) {
      const tall = y(clamp(scaleOf(axis).to(value)), height), shown = shortened(g, text, Math.max(40, room - 10));
      const wide = g.measureText(shown).width, left = place ? at - 7 - wide : at + 7;
      g.fillStyle = colour("paper");
      g.globalAlpha = 0.75;
      g.fillRect(left - 2, tall - 7, wide + 4, 14);
      g.globalAlpha = 1;
      g.fillStyle = colour("ink");
      g.fillText(shown, place ? at - 7 : at + 7, tall);
    }
    if (axis !== VALUE && trials().params[axis].includes(null)) {
      g.fillStyle = colour("soft");
      g.textAlign = "center";
      g.fillText("none", at, y(NOTHING, height) + 12);
    }
  };

  const nearest = (pixel, width) => axesOf().findIndex((_, place) => Math.abs(x(place, width) - pixel) < 14);

  const pointer = {
    down: (px, py, chart) => {
      const place = nearest(px, chart.width);
      from = place < 0 ? null : { axis: axesOf()[place], at: py };
      return from !== null;
    },
    move: (px, py, chart) => {
      const ends = [partAt(from.at, chart.height), partAt(py, chart.height)].sort((a, b) => a - b);
      state.filters.set(from.axis, [Math.max(NOTHING - 0.02, ends[0]), Math.min(1, ends[1])]);
      changed();
    },
    up: (px, py) => {
      const wasDragged = Math.abs(py - from.at) > 4;
      if (!wasDragged) wasCleared(from.axis);
      return wasDragged;
    },
  };

  const wasCleared = (axis) => {
    state.filters.delete(axis);
    changed();
  };

  const hit = (px, py, chart) => {
    let found = null, least = 10;
    for (let trial = 0; trial < count(); trial++) {
      if (partOn(VALUE, trial) === null || !passes(trial)) continue;
      const far = distance(trial, px, py, chart);
      if (far < least) [found, least] = [trial, far];
    }
    return found;
  };

  const distance = (trial, px, py, chart) => {
    const shown = axesOf(), gap = x(1, chart.width) - x(0, chart.width) || 1;
    const place = Math.min(shown.length - 2, Math.max(0, Math.floor((px - SIDE) / gap)));
    if (place < 0) return Infinity;
    const [one, other] = [place, place + 1].map((each) => y(partOn(shown[each], trial), chart.height));
    const along = clamp((px - x(place, chart.width)) / gap);
    return Math.abs(one + along * (other - one) - py);
  };

  const label = "Parallel coordinates: a line for each trial through its parameters and its value";
  new Chart(box, { height: 340, label, draw, mark, hit, pointer, least: () => 84 * axesOf().length });
}

function twoLines(name) {
  const cut = name.lastIndexOf(".");
  return cut < 0 ? [name] : [name.slice(0, cut + 1), name.slice(cut + 1)];
}

// From the colour of poor values to that of good ones.
function byValue(part) {
  const good = state.depth === BY_RANK || stage().mode === "max" ? part : 1 - part;
  return mixed(colour("poor"), colour("good"), good);
}
