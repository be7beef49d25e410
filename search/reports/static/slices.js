"use strict";
// For each parameter, the values of all trials that have it; and the bars of what mattered.

function slices() {
  const holder = document.getElementById("slices");
  let drawn = -1;
  const build = () => {
    if (drawn === state.stage) return;
    drawn = state.stage;
    holder.replaceChildren(...stage().parameters.map((parameter, axis) => {
      const box = element("div", { class: "slice" });
      const made = element("figure", {}, box, element("figcaption", {}, parameter.name));
      slice(box, parameter, axis, state.stage);
      return made;
    }));
  };
  onChange(build);
  build();
}

function slice(box, parameter, axis, of) {
  const margin = { left: 50, right: 12, top: 8, bottom: 24 };
  const scale = new Scale(parameter);
  if (parameter.kind === "choice") [scale.low, scale.high] = [-0.5, parameter.options.length - 0.5];
  let place = null;
  // Those of one option stand side by side; always at the same place.
  const shift = (trial) => parameter.kind === "choice" ? ((trial * 7919) % 31 / 31 - 0.5) * 24 : 0;
  const spot = (trial) => {
    const value = trials().params[axis][trial], reached = valueAt(trial, state.depth);
    if (value === null || reached === null) return null;
    return [place.x(value) + shift(trial), place.y(reached)];
  };
  const draw = (g, width, height) => {
    if (state.stage !== of) return;
    place = axes(g, width, height, scale, valueScale(), { x: "", margin, ticksX: 3, ticksY: 4 });
    for (const trial of painted()) dot(g, trial, strokeOf(trial));
    g.globalAlpha = 1;
  };
  const dot = (g, trial, [fill, thick, alpha]) => {
    const at = state.stage === of ? spot(trial) : null;
    if (at === null) return;
    g.fillStyle = fill;
    g.globalAlpha = passes(trial) ? Math.max(0.5, alpha) : 0.08;
    g.beginPath();
    g.arc(...at, 1.6 + thick, 0, 7);
    g.fill();
  };
  const hit = (x, y) => {
    if (state.stage !== of) return null;
    let found = null, least = 12 ** 2;
    for (let trial = 0; trial < count(); trial++) {
      const at = passes(trial) ? spot(trial) : null;
      const far = at === null ? Infinity : (at[0] - x) ** 2 + (at[1] - y) ** 2;
      if (far < least) [found, least] = [trial, far];
    }
    return found;
  };
  new Chart(box, { height: 170, label: `${parameter.name} against the value of each trial`, draw, hit,
    mark: (g, trial) => dot(g, trial, markOf(trial)) });
}

function importance() {
  const holder = document.getElementById("importance"), told = document.getElementById("importance-told");
  const show = () => {
    const place = stage().depths.findIndex(([depth]) => depth === state.depth);
    const found = place < 0 ? null : stage().importances[place];
    if (!found) {
      told.textContent = stage().scheduler === "pbt"
        ? "The values of a population change while it trains, so none of them stands for a result."
        : "Nothing to tell: at least 10 trials with values that differ in two parameters are compared.";
      holder.replaceChildren();
      return;
    }
    const where = found.depth === BY_RANK ? "by their rank in the search" : `after virtual epoch ${found.depth}`;
    told.textContent = `What tells the best ${found.top} of ${found.trials} trials ${where} from the others ` +
      "(PED-ANOVA). The line holds 80 % of what other trials would give; a bar that ends before the mark may be chance." +
      (ofValues.beyond ? ` ${ofValues.beyond} values are far off and drawn at the edge below.` : "");
    const most = Math.max(...found.rows.map(([, , , high, chance]) => Math.max(high, chance)), 0.01);
    holder.replaceChildren(...found.rows.map((row) => bar(row, most)));
  };
  onChange(show);
  show();
}

function bar([name, share, low, high, chance], most) {
  const percent = (value) => `${100 * value / most}%`;
  const matters = share > chance;
  return element("tr", { class: matters ? "matters" : "" },
    element("th", { scope: "row" }, name),
    element("td", { class: "share" }, `${Math.round(100 * share)} %`),
    element("td", { class: "bar" }, element("div", { class: "track" },
      element("div", { class: "filled", style: `width: ${percent(share)}` }),
      element("div", { class: "spread", style: `left: ${percent(low)}; width: ${percent(high - low)}` }),
      element("div", { class: "chance", style: `left: ${percent(chance)}`, title: "chance" }))),
    element("td", { class: "told" }, matters ? "" : "may be chance"));
}
