"use strict";
// The data of the page, what is selected, and how numbers are written. Every chart listens to `changed`.

const DATA = JSON.parse(document.getElementById("data").textContent);

const state = {
  stage: DATA.shown,
  depth: 1,        // virtual epochs after which trials are compared, or BY_RANK
  hovered: null,   // a trial, by its place in the columns
  selected: null,
  filters: new Map(),   // by axis: [low, high] in parts of its length, see Scale
};

const listeners = new Set();

function onChange(listener) {
  listeners.add(listener);
}

let isDrawing = false;

function changed() {
  if (isDrawing) return;
  isDrawing = true;
  requestAnimationFrame(() => {
    isDrawing = false;
    for (const listener of listeners) listener();
  });
}

function stage() {
  return DATA.stages[state.stage];
}

function trials() {
  return stage().trials;
}

function count() {
  return trials().number.length;
}

const BY_RANK = 0;   // in the place of a depth

// What trials are compared by: the best value in the first virtual epochs, or the rank in the search; null where
// a trial has not come so far, and where its values do not compare with those of others.
function valueAt(trial, depth) {
  if (!trials().compared[trial]) return null;
  if (depth === BY_RANK) return trials().rank[trial];
  const values = trials().values[trial];
  if (values.length < depth) return null;
  let best = null;
  const better = stage().mode === "max" ? (a, b) => a > b : (a, b) => a < b;
  for (let place = 0; place < depth; place++) {
    const value = values[place];
    if (value !== null && (best === null || better(value, best))) best = value;
  }
  return best;
}

function number(value) {
  if (value === null || value === undefined) return "";
  if (Number.isInteger(value) && Math.abs(value) < 1e9) return String(value);
  const text = Math.abs(value) >= 1e5 || (value !== 0 && Math.abs(value) < 1e-3)
    ? value.toExponential(2) : value.toPrecision(4);
  return text.replace(/(\.\d*?)0+(e|$)/, "$1$2").replace(/\.(e|$)/, "$1");
}

function option(value) {
  return value === null ? "null" : String(value);
}

function parameterText(parameter, value) {
  if (value === null) return "–";
  return parameter.kind === "choice" ? option(parameter.options[value]) : number(value);
}

function duration(given) {
  const seconds = Math.round(given);
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor(seconds % 3600 / 60)} min`;
}

// A node with text and children: texts never become HTML.
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}

const palette = new Map();   // asked for once per trial and chart, and read from the style once

function colour(name) {
  if (!palette.has(name)) {
    palette.set(name, getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim());
  }
  return palette.get(name);
}

const MEDIA = ["(prefers-color-scheme: dark)", "print"];

for (const media of MEDIA) {
  matchMedia(media).addEventListener("change", () => palette.clear());
}

// Between two colours written as #rrggbb: part 0 is the first.
function mixed(one, other, part) {
  const of = (text) => [1, 3, 5].map((at) => parseInt(text.slice(at, at + 2), 16));
  const [a, b] = [of(one), of(other)];
  return `rgb(${a.map((each, place) => Math.round(each + part * (b[place] - each))).join(" ")})`;
}

// From where a value stands on an axis, and back: 0 is its low end, 1 its high end. That of ranks has its
// greatest number at the low end.
class Scale {
  constructor({ kind, low, high, options }) {
    this.kind = kind;
    this.options = options;
    if (kind === "choice") [this.low, this.high] = [0, Math.max(1, options.length - 1)];
    else [this.low, this.high] = low === high ? widened(low, kind) : [low, high];
  }

  to(value) {
    if (this.kind === "choice" && this.options.length === 1) return 0.5;
    if (this.kind === "log") return Math.log(value / this.low) / Math.log(this.high / this.low);
    return (value - this.low) / (this.high - this.low);
  }

  from(part) {
    if (this.kind === "log") return this.low * (this.high / this.low) ** part;
    return this.low + part * (this.high - this.low);
  }

  // Pairs of value and text, about so many.
  ticks(about = 5) {
    if (this.kind === "choice") return this.options.map((each, place) => [place, option(each)]);
    const ends = [Math.min(this.low, this.high), Math.max(this.low, this.high)];
    const found = this.kind === "log" ? powers(...ends, about) : steps(...ends, about);
    return found.map((value) => [value, number(value)]);
  }
}

function powers(low, high, about) {
  const first = Math.ceil(Math.log10(low) - 1e-9), last = Math.floor(Math.log10(high) + 1e-9);
  if (last - first < 1) return steps(low, high, 3).filter((value) => value > 0);
  const every = Math.max(1, Math.ceil((last - first) / about));
  const found = [];
  for (let power = first; power <= last; power += every) found.push(10 ** power);
  return found;
}

function widened(value, kind) {
  const by = Math.abs(value) / 10 || 1;
  return kind === "log" ? [value / 2, value * 2] : [value - by, value + by];
}

function steps(low, high, about) {
  const rough = (high - low) / Math.max(1, about);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((each) => each * power).find((each) => each >= rough);
  const found = [];
  for (let at = Math.ceil(low / step - 1e-9); at * step <= high + step * 1e-9; at++) found.push(at * step);
  return found;
}

// Whether the filters let a trial through; those that have not come to the depth have no value there.
function passes(trial) {
  for (const [axis, [low, high]] of state.filters) {
    const part = partOn(axis, trial);
    if (part === null || part < low || part > high) return false;
  }
  return true;
}

const NOTHING = -0.09;   // where trials stand that have no such parameter

const VALUE = "value";

const scales = new Map();

function scaleOf(axis) {
  if (axis === VALUE) return valueScale();
  const key = `${state.stage}/${axis}`;
  if (!scales.has(key)) scales.set(key, new Scale(stage().parameters[axis]));
  return scales.get(key);
}

let ofValues = { key: "", scale: null };

function valueName() {
  return state.depth === BY_RANK ? "rank" : stage().metric;
}

// Of the objective at the depth at which trials are compared; values far off the others are cut off.
function valueScale() {
  const key = `${state.stage}/${state.depth}`;
  if (ofValues.key !== key) {
    const found = [];
    for (let trial = 0; trial < count(); trial++) {
      const value = valueAt(trial, state.depth);
      if (value !== null) found.push(value);
    }
    const [low, high] = inner(found);
    ofValues = { key, beyond: found.filter((value) => value < low || value > high).length, scale: new Scale(state.depth === BY_RANK
      ? { kind: "log", low: Math.max(2, ...found), high: 1 } : { kind: "linear", low, high }) };
  }
  return ofValues.scale;
}

// The range of these values, but for some that are so far off that the others would not be told apart: those
// are drawn at the edge, and their number is told.
function inner(values) {
  if (!values.length) return [0, 1];
  const sorted = [...values].sort((a, b) => a - b);
  const at = (part) => sorted[Math.round(part * (sorted.length - 1))];
  const spread = 4 * (at(0.9) - at(0.1));
  const low = Math.max(sorted[0], at(0.1) - spread), high = Math.min(sorted.at(-1), at(0.9) + spread);
  return spread > 0 ? [low, high] : [sorted[0], sorted.at(-1)];
}

function clamp(part) {
  return Math.min(1, Math.max(0, part));
}

function partOn(axis, trial) {
  if (axis === VALUE) {
    const value = valueAt(trial, state.depth);
    return value === null ? null : clamp(valueScale().to(value));
  }
  const value = trials().params[axis][trial];
  return value === null ? NOTHING : clamp(scaleOf(axis).to(value));
}

// Trials in the order of their ranks; those without a value come last.
function byRank() {
  const of = stage();
  if (!of.order) {
    const ranks = of.trials.rank;
    of.order = [...ranks.keys()].sort((a, b) => (ranks[a] ?? 1e9) - (ranks[b] ?? 1e9) || a - b);
  }
  return of.order;
}

function select(trial) {
  state.selected = state.selected === trial ? null : trial;
  changed();
}
