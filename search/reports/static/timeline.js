"use strict";
// Jobs by time, side by side where they ran at once.

const PAUSE_SHOWN = 30;   // seconds without any job that are drawn as a break

function timeline() {
  const box = document.getElementById("timeline"), told = document.getElementById("timeline-told");
  const LEFT = 10, RIGHT = 14, LANE = 13, TOP = 6, BOTTOM = 30;
  let laidOut = null;

  const layout = () => {
    if (laidOut && laidOut.of === state.stage) return laidOut;
    const jobs = [];
    trials().jobs.forEach((of, trial) => of.forEach(([begin, end], place) =>
      jobs.push({ trial, begin, end, isLast: place === of.length - 1 })));
    jobs.sort((a, b) => a.begin - b.begin);
    const breaks = without(jobs);
    const ends = [];
    for (const job of jobs) {
      let lane = ends.findIndex((end) => end <= job.begin + 0.03);
      if (lane < 0) lane = ends.push(0) - 1;
      ends[lane] = job.end;
      job.lane = lane;
    }
    const last = jobs.reduce((latest, job) => Math.max(latest, job.end), 0.1);
    laidOut = { of: state.stage, jobs, breaks, lanes: ends.length, length: last - breaks.reduce((sum, each) => sum + each.cut, 0) };
    tell(laidOut);
    return laidOut;
  };

  const tell = ({ jobs, lanes, length, breaks }) => {
    if (!jobs.length) {
      told.textContent = "When jobs ran was not recorded by the version that made this run.";
      return;
    }
    const busy = jobs.reduce((sum, job) => sum + job.end - job.begin, 0);
    const pauses = breaks.length ? ` ${breaks.length} breaks without any job are cut out.` : "";
    const untimed = trials().values.filter((values, trial) => values.length && !trials().jobs[trial].length).length;
    const older = untimed ? ` Of ${untimed} trials an older version did not keep the times.` : "";
    told.textContent = `${jobs.length} jobs of ${count()} trials in ${duration(length)}: ` +
      `${number(busy / length)} at a time on average, ${lanes} at most.${pauses}${older}`;
  };

  // Times are counted without the breaks before them.
  const short = (time) => laidOut.breaks.reduce((left, each) => time >= each.end ? left - each.cut : left, time);

  const rect = (job, width) => {
    const wide = width - LEFT - RIGHT, begin = LEFT + short(job.begin) / laidOut.length * wide;
    return [begin, TOP + job.lane * LANE, Math.max(1.5, (short(job.end) - short(job.begin)) / laidOut.length * wide), LANE - 2];
  };

  const fillOf = (job) => {
    const how = job.isLast ? trials().state[job.trial] : "paused";
    return { completed: "best", paused: "good", stopped: "other", running: "live", unfinished: "good" }[how] ?? "bad";
  };

  const draw = (g, width, height) => {
    const { jobs, lanes, length } = layout();
    if (!jobs.length) return;
    g.fillStyle = colour("lane");
    for (let lane = 0; lane < lanes; lane++) g.fillRect(LEFT, TOP + lane * LANE, width - LEFT - RIGHT, LANE - 2);
    for (const job of jobs) {
      g.globalAlpha = passes(job.trial) ? 1 : 0.15;
      g.fillStyle = colour(fillOf(job));
      g.fillRect(...rect(job, width));
    }
    g.globalAlpha = 1;
    g.fillStyle = colour("soft");
    g.textBaseline = "top";
    const ticks = steps(0, length, Math.max(2, Math.floor(width / 110)));
    ticks.forEach((time, place) => {
      g.textAlign = place ? (time > 0.95 * length ? "right" : "center") : "left";
      g.fillText(duration(time), LEFT + time / length * (width - LEFT - RIGHT), height - BOTTOM + 8);
    });
  };

  const mark = (g, trial, width) => {
    g.fillStyle = colour("chosen");
    for (const job of layout().jobs) if (job.trial === trial) g.fillRect(...rect(job, width));
  };

  const hit = (x, y, chart) => {
    const found = layout().jobs.find((job) => {
      const [left, top, wide, tall] = rect(job, chart.width);
      return x >= left - 1 && x <= left + wide + 1 && y >= top && y <= top + tall;
    });
    return found ? found.trial : null;
  };

  const height = () => layout().jobs.length ? TOP + BOTTOM + LANE * layout().lanes : 1;
  new Chart(box, { height, label: "Jobs of all trials by time", draw, mark, hit });
}

// Stretches in which nothing ran, as between two sessions, with what is cut out of each.
function without(jobs) {
  const found = [];
  let end = 0;
  for (const job of jobs) {
    if (job.begin - end > PAUSE_SHOWN) found.push({ end: job.begin, cut: job.begin - end - PAUSE_SHOWN / 10 });
    end = Math.max(end, job.end);
  }
  return found;
}
