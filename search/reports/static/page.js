"use strict";
// The table of trials, what is said of the selected one, filters by keyboard, and the start of everything.

const ROWS = 100;

function table() {
  const head = document.querySelector("#trials thead"), body = document.querySelector("#trials tbody");
  const more = document.getElementById("more"), told = document.getElementById("trials-told");
  const sorting = { column: 1, back: false };
  let shown = ROWS;

  const columns = () => [
    ["trial", (trial) => trials().number[trial], String],
    ["rank", (trial) => trials().rank[trial], (value) => value ?? ""],
    [stage().metric, (trial) => trials().value[trial], number],
    ["at", (trial) => trials().at[trial], (value) => value || ""],
    ["virtual epochs", (trial) => trials().values[trial].length, String],
    ["state", stateText, String],
    ...stage().parameters.map((parameter, axis) =>
      [parameter.name, (trial) => trials().params[axis][trial], (value) => parameterText(parameter, value)]),
  ];

  const compare = (of) => (a, b) => {
    const [one, other] = [of(a), of(b)];
    if (one === null || other === null) return (one === null) - (other === null) || a - b;
    const order = typeof one === "string" ? one.localeCompare(other) : one - other;
    return (sorting.back ? -order : order) || a - b;
  };

  const show = () => {
    const all = columns(), by = all[sorting.column] ?? all[1];
    head.replaceChildren(element("tr", {}, ...all.map((column, place) => element("th", { scope: "col",
      "aria-sort": column === by ? (sorting.back ? "descending" : "ascending") : null },
    element("button", { type: "button", onclick: () => sort(place) }, column[0])))));
    const order = [...Array(count()).keys()].filter(passes).sort(compare(by[1]));
    body.replaceChildren(...order.slice(0, shown).map((trial) => row(trial, all)));
    more.hidden = order.length <= shown;
    more.textContent = `show ${Math.min(1000, order.length - shown)} more of ${order.length - shown}`;
    told.textContent = order.length === count() ? `${count()} trials` : `${order.length} of ${count()} trials`;
  };

  const row = (trial, all) => element("tr", {
    tabindex: 0, "data-trial": trials().number[trial], "aria-selected": String(trial === state.selected),
    onclick: () => select(trial), onkeydown: (event) => event.key === "Enter" ? select(trial) : byKeyboard(event),
  }, ...all.map(([, of, text]) => element("td", {}, text(of(trial)))));

  const sort = (place) => {
    sorting.back = sorting.column === place && !sorting.back;
    sorting.column = place;
    show();
  };

  more.addEventListener("click", () => { shown += 1000; show(); });
  let before = "";
  onChange(() => {
    const now = JSON.stringify([state.stage, state.selected, [...state.filters]]);
    if (now !== before) show();   // not when the mouse passes over a chart
    before = now;
  });
  show();
}

function stateText(trial) {
  return trials().state[trial] + (trials().other[trial] ? ", on other data" : "");
}

// What is known of the trial under the mouse, or of the selected one.
function detail() {
  const box = document.getElementById("detail");
  onChange(() => {
    const trial = state.hovered ?? state.selected;
    box.hidden = trial === null;
    if (trial === null) return;
    const of = trials(), value = of.value[trial] === null ? "no value" : `${stage().metric} ${number(of.value[trial])}`;
    const parts = stage().parameters.map((parameter, axis) => [parameter, of.params[axis][trial]])
      .filter(([, each]) => each !== null)
      .map(([parameter, each]) => element("span", {}, `${parameter.name} `, element("b", {}, parameterText(parameter, each))));
    const reason = of.reason[trial] ? ` (${of.reason[trial]})` : "";
    box.replaceChildren(element("strong", {}, `trial ${of.number[trial]}`),
      element("span", {}, `${value}${of.at[trial] ? ` at virtual epoch ${of.at[trial]} of ${of.values[trial].length}` : ""}`),
      element("span", {}, `${stateText(trial)}${reason}`), ...parts);
  });
}

// Limits as numbers, for who has no mouse; and what is filtered now, to be taken off again.
function filters() {
  const chips = document.getElementById("chips"), fields = document.getElementById("fields");
  const names = () => [...stage().parameters.keys(), VALUE];
  const nameOf = (axis) => axis === VALUE ? valueName() : stage().parameters[axis].name;
  const end = (axis, part) => {
    const scale = scaleOf(axis);
    if (scale.kind !== "choice") return number(scale.from(clamp(part)));
    return option(scale.options[Math.round(clamp(part) * (scale.options.length - 1))]);
  };
  const showChips = () => chips.replaceChildren(...[...state.filters].map(([axis, [low, high]]) =>
    element("button", { type: "button", title: "take off", onclick: () => { state.filters.delete(axis); changed(); } },
      `${nameOf(axis)} ${high < 0 ? "none" : `${low < -0.03 ? "none, " : ""}${end(axis, low)} to ${end(axis, high)}`} ✕`)));
  let built = -1;
  const showFields = () => {
    if (built === state.stage) return;
    built = state.stage;
    fields.replaceChildren(...names().map(field));
  };
  const field = (axis) => {
    const parameter = axis === VALUE ? { kind: "linear" } : stage().parameters[axis];
    const made = parameter.kind === "choice"
      ? [element("select", { onchange: (event) => limit(axis, event.target.value, event.target.value), "aria-label": nameOf(axis) },
        element("option", { value: "" }, "all"), ...parameter.options.map((each, place) => element("option", { value: place }, option(each))))]
      : ["least", "most"].map((word) => element("input", { type: "number", step: "any", placeholder: word, "aria-label": `${word} ${nameOf(axis)}`,
        onchange: (event) => limit(axis, ...[...event.target.parentNode.querySelectorAll("input")].map((each) => each.value)) }));
    return element("label", {}, element("span", {}, nameOf(axis)), ...made);
  };
  const limit = (axis, low, high) => {
    const scale = scaleOf(axis);
    if (low === "" && high === "") state.filters.delete(axis);
    else {
      const ends = [low === "" ? scale.low : Number(low), high === "" ? scale.high : Number(high)];
      const [from, to] = ends.map((each) => clamp(scale.to(each))).sort((a, b) => a - b);
      state.filters.set(axis, [from - 1e-9, to + 1e-9]);
    }
    changed();
  };
  onChange(showChips);
  onChange(showFields);
  showFields();
}

function chooseStage(chosen) {
  state.stage = chosen;
  state.depth = stage().depth;
  state.selected = state.hovered = null;
  state.filters.clear();
}

function start() {
  chooseStage(DATA.shown);
  const depth = document.getElementById("depth");
  const fill = () => {
    depth.replaceChildren(...stage().depths.map(([each, given]) =>
      element("option", { value: each, selected: each === state.depth }, each === BY_RANK ? `by rank (${given} trials)` : `after virtual epoch ${each} (${given} trials)`)));
  };
  depth.addEventListener("change", () => { state.depth = Number(depth.value); state.filters.delete(VALUE); changed(); });
  const chosen = document.getElementById("stage");
  if (chosen) chosen.addEventListener("change", () => { chooseStage(Number(chosen.value)); fill(); changed(); });
  fill();
  for (const part of [curves, importance, parallel, slices, timeline, table, detail, filters]) part();
  document.addEventListener("keydown", (event) => event.key === "Escape" && byKeyboard(event));
  changed();
}

start();
