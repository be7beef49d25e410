"use strict";
// A canvas that is drawn anew when the page, its colours or the selection change, by mouse and by keyboard.

class Chart {
  // holder: the element that it fills. draw(g, width, height): draws all trials alike. mark(g, trial): draws one
  // that is selected or under the mouse, on top. hit(x, y): the trial there, or null. least: pixels that it is
  // wide at least; its holder scrolls then. of: what else it depends on, as text.
  constructor(holder, { height, label, draw, mark, hit = () => null, least = () => 0, pointer = {}, of = () => "" }) {
    Object.assign(this, { holder, heightOf: height, draw, mark, hit, least, of });
    this.canvas = element("canvas", { tabindex: 0, role: "img", "aria-label": label });
    this.base = document.createElement("canvas");   // without what is marked: the mouse moves often
    this.drawn = "";
    holder.replaceChildren(this.canvas);
    this.listen(pointer);
    new ResizeObserver(() => this.show()).observe(holder);
    const show = () => this.canvas.isConnected ? this.show() : listeners.delete(show);
    onChange(show);
    for (const media of MEDIA) matchMedia(media).addEventListener("change", show);
  }

  show() {
    const height = typeof this.heightOf === "function" ? this.heightOf() : this.heightOf;
    const width = Math.max(this.holder.clientWidth, this.least());
    if (!width || !height) return;
    const sharp = Math.max(2, devicePixelRatio || 1);   // also on paper
    const size = { width: width * sharp, height: height * sharp };
    Object.assign(this, { width, height });
    const now = JSON.stringify([size, state.stage, state.depth, [...state.filters], colour("paper"), this.of()]);
    if (now !== this.drawn) {
      this.drawn = now;
      this.draw(this.begin(this.base, size, sharp), width, height);
    }
    const g = this.begin(this.canvas, size, sharp);
    Object.assign(this.canvas.style, { width: `${width}px`, height: `${height}px` });
    g.drawImage(this.base, 0, 0, width, height);
    for (const trial of new Set([state.selected, state.hovered])) {
      if (trial !== null) this.mark(g, trial, width, height);
    }
    g.globalAlpha = 1;
  }

  begin(canvas, size, sharp) {
    Object.assign(canvas, size);
    const g = canvas.getContext("2d");
    g.scale(sharp, sharp);
    g.font = "12px system-ui, sans-serif";
    return g;
  }

  listen({ down, move, up }) {
    const place = (event) => {
      const box = this.canvas.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    let isDragging = false;
    this.canvas.addEventListener("pointerdown", (event) => {
      isDragging = Boolean(down && down(...place(event), this));
      if (isDragging) this.canvas.setPointerCapture(event.pointerId);
    });
    this.canvas.addEventListener("pointermove", (event) => {
      if (isDragging) return move(...place(event), this);
      const trial = this.hit(...place(event), this);
      if (trial === state.hovered) return;
      state.hovered = trial;
      changed();
    });
    this.canvas.addEventListener("pointerup", (event) => {
      const wasDragged = isDragging && up(...place(event), this);
      isDragging = false;
      if (wasDragged) return;
      const trial = this.hit(...place(event), this);
      if (trial !== null) select(trial);
    });
    this.canvas.addEventListener("pointerleave", () => {
      state.hovered = null;
      changed();
    });
    this.canvas.addEventListener("keydown", byKeyboard);
  }
}

// Arrows go from the best trial to worse ones and back, Escape clears.
function byKeyboard(event) {
  const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  if (event.key === "Escape") {
    state.selected = null;
    state.filters.clear();
  } else if (by) {
    const order = byRank().filter(passes);
    if (!order.length) return;
    const at = order.indexOf(state.selected);
    const next = at < 0 ? (by > 0 ? 0 : order.length - 1) : (at + by + order.length) % order.length;
    state.selected = order[next];
  } else return;
  event.preventDefault();
  changed();
}

const MARGIN = { left: 58, right: 14, top: 12, bottom: 40 };

// Axes with ticks around the inside of a chart; returns where values are drawn.
function axes(g, width, height, across, up, { x, y, margin = MARGIN, ticksX, ticksY = 5 }) {
  const { left, right, top, bottom } = margin;
  const place = {
    x: (value) => left + across.to(value) * (width - left - right),
    y: (value) => height - bottom - clamp(up.to(value)) * (height - top - bottom),
  };
  g.strokeStyle = colour("line");
  g.fillStyle = colour("soft");
  g.lineWidth = 1;
  g.textAlign = "right";
  g.textBaseline = "middle";
  for (const [value, text] of up.ticks(ticksY)) {
    line(g, left, place.y(value), width - right, place.y(value));
    g.fillText(text, left - 6, place.y(value));
  }
  g.textBaseline = "top";
  const ticks = across.ticks(ticksX ?? Math.max(2, Math.floor(width / 90)));
  const room = (width - left - right) / Math.max(1, ticks.length) - 4;
  ticks.forEach(([value, text], order) => {
    const isLast = order === ticks.length - 1 && across.to(value) > 0.95;
    g.textAlign = isLast && across.kind !== "choice" ? "right" : "center";
    g.fillText(shortened(g, text, Math.max(room, 28)), place.x(value), height - bottom + 6);
  });
  g.textAlign = "right";
  g.fillText(x, width - right, height - 16);
  if (y) {
    g.textAlign = "left";
    g.textBaseline = "top";
    g.fillText(y, 2, 0);
  }
  return place;
}

function shortened(g, text, room) {
  let shown = text;
  while (shown.length > 2 && g.measureText(shown).width > room) shown = shown.slice(0, -2) + "…";
  return shown;
}

function line(g, x0, y0, x1, y1) {
  g.beginPath();
  g.moveTo(x0, y0);
  g.lineTo(x1, y1);
  g.stroke();
}

// The colour, thickness and opacity of a trial by its rank: the best ones stand out, the others are grey.
function strokeOf(trial) {
  const rank = trials().rank[trial];
  if (rank === 1) return [colour("best"), 2.2, 1];
  if (rank !== null && rank <= 5) return [colour("good"), 1.4, 0.9];
  return [colour("other"), 1, count() > 300 ? 0.25 : 0.55];
}

function markOf(trial) {
  return [colour("chosen"), trial === state.selected ? 2.5 : 2, 1];
}

// Trials in the order in which they are drawn: the best ones lie on top.
function painted() {
  return [...byRank()].reverse();
}
