// Start ADVI again: the decision surface and the loss, side by side, over the steps of three stored fits.

import { calm, colour, make, onTheme, percent } from "./page.js";
import { unpacked } from "./stored.js";

const PLANE = 320;
const [WIDE, HIGH, LEFT, BOTTOM] = [360, 320, 44, 34];

/** Find the first step at which a loss, averaged over windows, is below a level and stays there; null if never. */
export function leaves(losses, window, level) {
  let last = losses.length;
  while (last > 0 && losses[last - 1] < level) last -= 1;
  return last === losses.length ? null : last * window;
}

function hue(name) {
  return [1, 3, 5].map((i) => parseInt(colour(name).slice(i, i + 2), 16));
}

/** Paint a surface of probabilities: the first colour at 0, the paper at one half, the second colour at 1. */
function surface(canvas, bytes, side, points, reach) {
  const small = make("canvas", { width: side, height: side });
  const sight = small.getContext("2d");
  const data = sight.createImageData(side, side);
  const [low, middle, high] = ["first", "paper", "second"].map(hue);
  for (let i = 0; i < side * side; i++) {
    const p = bytes[(side - 1 - Math.floor(i / side)) * side + (i % side)] / 255;
    const [end, share] = p < 0.5 ? [low, 1 - 2 * p] : [high, 2 * p - 1];
    for (let c = 0; c < 3; c++) data.data[4 * i + c] = middle[c] + share * (end[c] - middle[c]);
    data.data[4 * i + 3] = 255;
  }
  sight.putImageData(data, 0, 0);
  const paper = canvas.getContext("2d");
  paper.imageSmoothingEnabled = true;
  paper.imageSmoothingQuality = "high";
  paper.drawImage(small, 0, 0, PLANE, PLANE);
  paper.strokeStyle = colour("paper");
  for (const [x, y, label] of points) {
    const [left, top] = [((x + reach) / (2 * reach)) * PLANE, ((reach - y) / (2 * reach)) * PLANE];
    paper.fillStyle = colour(label ? "second" : "first");
    paper.beginPath();
    if (label) paper.rect(left - 3, top - 3, 6, 6);
    else paper.arc(left, top, 3.4, 0, 7);
    paper.fill();
    paper.stroke();
  }
}

/** The losses of all starts on a log axis, the chosen one strong, with a line at the step that is shown. */
function losses(data) {
  const [low, high] = [100, 800];
  const toX = (step) => LEFT + (step / data.steps) * (WIDE - LEFT - 8);
  const toY = (loss) => 8 + (1 - Math.log(Math.min(high, loss) / low) / Math.log(high / low)) * (HIGH - BOTTOM - 8);
  const svg = make("svg:svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, class: "play-plot", role: "img" });
  for (const loss of [100, 131.92, 200, 400, 800]) {
    const [x, y] = [LEFT - 5, toY(loss)];
    svg.append(make("svg:line", { x1: LEFT, x2: WIDE - 8, y1: y, y2: y, class: loss === 131.92 ? "play-grid play-post" : "play-grid" }),
      make("svg:text", { x, y: y + 4, class: "play-tick", "text-anchor": "end" }, Math.round(loss)));
  }
  for (const step of [0, 30000, 60000]) {
    svg.append(make("svg:text", { x: toX(step), y: HIGH - BOTTOM + 18, class: "play-tick", "text-anchor": "middle" },
      step.toLocaleString("en")));
  }
  svg.append(make("svg:text", { x: (LEFT + WIDE) / 2, y: HIGH - 2, class: "play-tick", "text-anchor": "middle" }, "step"));
  const lines = data.starts.map((start) => make("svg:path", {
    class: "play-loss", d: start.losses.map((loss, i) => `${i ? "L" : "M"}${toX((i + 0.5) * data.window).toFixed(1)} ${toY(loss).toFixed(1)}`).join(""),
  }));
  const now = make("svg:line", { y1: 8, y2: HIGH - BOTTOM, class: "play-now" });
  svg.append(...lines, now);
  return {
    svg,
    show(chosen, step, said) {
      lines.forEach((line, i) => { line.classList.toggle("play-chosen", i === chosen); });
      svg.append(lines[chosen], now);
      now.setAttribute("x1", toX(step));
      now.setAttribute("x2", toX(step));
      svg.setAttribute("aria-label", `Loss against step for three starts, on a log axis. ${said}`);
    },
  };
}

/** Start the piece inside an element; `data` is what tools/play stored. */
export function moons(place, data) {
  const all = data.starts.map((start) => unpacked(start.surfaces));
  const size = data.side * data.side;
  let chosen = 0, frame = 0, timer = null;

  const canvas = make("canvas", { width: PLANE, height: PLANE, class: "play-surface", role: "img" });
  const curve = losses(data);
  const status = make("p", { class: "play-status", role: "status" });
  const scrub = make("input", {
    type: "range", min: 0, max: data.frames - 1, step: 1, value: 0, "aria-label": "Step of the fit",
    oninput: () => { stop(); frame = Number(scrub.value); refresh(); },
  });
  const play = make("button", { type: "button", onclick: () => (timer ? stop() : begin()) }, "Play");
  const choice = make("fieldset", { class: "play-choice" }, make("legend", {}, "Start"));
  for (const [i, start] of data.starts.entries()) {
    choice.append(make("label", {}, make("input", {
      type: "radio", name: "play-start", checked: i === 0, onchange: () => { chosen = i; refresh(); },
    }), ` seed ${start.seed}`));
  }

  const stepOf = () => Math.max(1, Math.round((frame / (data.frames - 1)) * data.steps));
  function said() {
    const start = data.starts[chosen], step = stepOf();
    const loss = start.losses[Math.min(start.losses.length - 1, Math.floor((step - 1) / data.window))];
    const out = leaves(start.losses, data.window, 150);
    const when = out === null ? "It never leaves the plateau for good." : step < out ?
      `Above 150 nats until step ${out.toLocaleString("en")}.` : `Below 150 nats since step ${out.toLocaleString("en")}.`;
    return `Seed ${start.seed}, step ${step.toLocaleString("en")}: loss ${loss.toFixed(0)} nats, ` +
      `${percent(start.accuracy[frame])} of the held-out points right. ${when}`;
  }
  function refresh() {
    const words = said();
    surface(canvas, all[chosen].subarray(size * frame, size * (frame + 1)), data.side, data.points, data.reach);
    canvas.setAttribute("aria-label", `Probability of class 1 over the plane, with the training points. ${words}`);
    curve.show(chosen, stepOf(), words);
    scrub.value = frame;
    scrub.setAttribute("aria-valuetext", `step ${stepOf()}`);
    status.textContent = words;
  }
  function stop() {
    clearInterval(timer);
    timer = null;
    play.textContent = calm() ? "Next frame" : "Play";
  }
  function ahead() {
    frame += 1;
    if (frame >= data.frames - 1) { frame = data.frames - 1; stop(); }
    refresh();
  }
  function begin() {
    if (frame >= data.frames - 1) frame = -1;
    ahead();
    if (calm()) return; // one frame for each press
    timer = setInterval(ahead, 150);
    play.textContent = "Pause";
  }

  place.replaceChildren(
    make("div", { class: "play-columns" }, make("div", { class: "play-half" }, canvas), make("div", { class: "play-half" }, curve.svg)),
    make("div", { class: "play-buttons" }, play, scrub), choice,
    make("p", { class: "play-key" }, "Dashed: 131.92, where the post's loss ended. ", make("i", { class: "play-first" }), "class 0 ",
      make("i", { class: "play-second" }), "class 1"), status);
  onTheme(refresh);
  stop();
  refresh();
  place.dataset.ready = "yes";
}
