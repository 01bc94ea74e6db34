// Drag the points: the exact posterior band of a small model, and the mean-field band of the same model.

import { features, gap, posterior } from "./gaussian.js";
import { normals } from "./noise.js";
import { make, slider } from "./page.js";

const [WIDE, HIGH, REACH, RISE] = [640, 340, 1.5, 2.2];
const START = [
  [-1.15, -0.55], [-1.05, -0.78], [-0.93, -0.7], [-0.82, -0.98], [-0.7, -0.9], [-0.6, -0.75],
  [0.5, 0.62], [0.6, 0.92], [0.7, 0.85], [0.82, 1.02], [0.93, 0.72], [1.05, 0.6],
];
const GRID = Array.from({ length: 121 }, (_, i) => -REACH + (2 * REACH * i) / 120);
const CURVES = 5;
const FINGER = 22; // pixels of the screen: a finger hits no point of a few pixels

const toX = (x) => ((x + REACH) / (2 * REACH)) * WIDE;
const toY = (y) => ((RISE - y) / (2 * RISE)) * HIGH;
const held = (value, most) => Math.min(most, Math.max(-most, value));
const path = (xs, f) => xs.map((x, i) => `${i ? "L" : "M"}${toX(x).toFixed(1)} ${toY(f(x)).toFixed(1)}`).join("");

/** Draw the outline of a band of two standard deviations around a mean. */
function band(mean, deviation) {
  return `${path(GRID, (x) => mean(x) + 2 * deviation(x))}${path([...GRID].reverse(), (x) => mean(x) - 2 * deviation(x))
    .replace("M", "L")}Z`;
}

/** Compare the two bands in the middle of the widest gap and, on average, at the points. */
export function comparison(points, settings) {
  const found = posterior(points, settings);
  const between = gap(points);
  const mean = (f) => points.reduce((sum, [x]) => sum + f(x), 0) / points.length;
  return {
    gap: between && { x: between.middle, exact: found.exact(between.middle), meanField: found.meanField(between.middle) },
    points: points.length ? { exact: mean(found.exact), meanField: mean(found.meanField) } : null,
  };
}

function words(points, settings) {
  if (points.length < 2) return "Add points: with fewer than two there is no gap to look at.";
  const { gap: g, points: p } = comparison(points, settings);
  const ratio = (a, b) => (b / a < 1 ? `${(a / b).toFixed(1)} times too narrow` : `${(b / a).toFixed(1)} times too wide`);
  return `Standard deviation of the curve in the middle of the widest gap: exact ${g.exact.toFixed(2)}, mean-field ` +
    `${g.meanField.toFixed(2)}, ${ratio(g.exact, g.meanField)}. At the points, on average: exact ${p.exact.toFixed(2)}, ` +
    `mean-field ${p.meanField.toFixed(2)}, ${ratio(p.exact, p.meanField)}.`;
}

/** Start the piece inside an element. */
export function points(place) {
  let list = START.map((point) => [...point]);
  const settings = { noise: 0.12, prior: 0.5, temperature: 1 };
  let curves = 0, dragged = null;

  const layer = (name) => make(`svg:${name}`);
  const outer = make("svg:path", { class: "play-second play-band" }), inner = make("svg:path", { class: "play-first play-band" });
  const mean = make("svg:path", { class: "play-mean" });
  const samples = layer("g"), handles = layer("g");
  const svg = make("svg:svg", {
    viewBox: `0 0 ${WIDE} ${HIGH}`, class: "play-plot play-drag", role: "group",
    "aria-label": "Points on a plane, with two bands. Tab reaches each point; the arrow keys move it, Delete removes it.",
  }, inner, outer, samples, mean, handles);
  const status = make("p", { class: "play-status", role: "status" });

  const place_ = (event) => {
    const box = svg.getBoundingClientRect();
    return [held(((event.clientX - box.left) / box.width) * 2 * REACH - REACH, REACH),
      held(RISE - ((event.clientY - box.top) / box.height) * 2 * RISE, RISE)];
  };
  function add(point) {
    list.push(point);
    refresh(true);
    return list.length - 1;
  }
  function remove(i) {
    list.splice(i, 1);
    refresh(true);
    const next = handles.children[Math.min(i, list.length - 1)];
    if (next) next.focus();
  }
  function key(event, i) {
    const step = { ArrowLeft: [-0.05, 0], ArrowRight: [0.05, 0], ArrowUp: [0, 0.05], ArrowDown: [0, -0.05] }[event.key];
    if (event.key === "Delete" || event.key === "Backspace") remove(i);
    else if (step) {
      list[i] = [held(list[i][0] + step[0], REACH), held(list[i][1] + step[1], RISE)];
      refresh();
    } else return;
    event.preventDefault();
  }
  function handle(i) {
    return make("svg:circle", {
      r: 8, class: "play-handle", tabindex: 0, role: "button", "data-point": i,
      onkeydown: (event) => key(event, i),
      ondblclick: () => remove(i),
    });
  }
  /** Find the point that is meant: the one below the pointer, or, for a finger, the nearest one within its reach. */
  function meant(event) {
    const on = event.target.dataset?.point;
    if (on !== undefined || event.pointerType !== "touch") return on === undefined ? null : Number(on);
    const away = [...handles.children].map((handle) => {
      const box = handle.getBoundingClientRect();
      return Math.hypot(box.left + box.width / 2 - event.clientX, box.top + box.height / 2 - event.clientY);
    });
    const nearest = Math.min(...away);
    return nearest <= FINGER ? away.indexOf(nearest) : null;
  }
  svg.addEventListener("pointerdown", (event) => {
    dragged = meant(event) ?? add(place_(event));
    svg.setPointerCapture(event.pointerId);
    event.preventDefault();
    handles.children[dragged].focus({ preventScroll: true });
  });
  svg.addEventListener("pointermove", (event) => {
    if (dragged === null || !list[dragged]) return;
    list[dragged] = place_(event);
    refresh();
  });
  for (const end of ["pointerup", "pointercancel"]) svg.addEventListener(end, () => (dragged = null));

  function refresh(counted) {
    if (counted) handles.replaceChildren(...list.map((_, i) => handle(i)));
    list.forEach(([x, y], i) => {
      const node = handles.children[i];
      node.setAttribute("cx", toX(x));
      node.setAttribute("cy", toY(y));
      node.setAttribute("aria-label", `Point ${i + 1} at x ${x.toFixed(2)}, y ${y.toFixed(2)}`);
    });
    const found = posterior(list, settings);
    inner.setAttribute("d", band(found.mean, found.exact));
    outer.setAttribute("d", band(found.mean, found.meanField));
    mean.setAttribute("d", path(GRID, found.mean));
    samples.replaceChildren(...(curves ? sampled(found, curves) : []));
    status.textContent = words(list, settings);
  }
  const redraw = (name, of = (value) => value) => (value) => { settings[name] = of(value); refresh(); };
  const sliders = [
    slider("Noise of a measurement", { min: 0.03, max: 0.5, step: 0.01, value: settings.noise, shown: (v) => v.toFixed(2), changed: redraw("noise") }),
    slider("Scale of the prior", { min: 0.1, max: 2, step: 0.05, value: settings.prior, shown: (v) => v.toFixed(2), changed: redraw("prior") }),
    slider("Temperature", {
      min: -2, max: 1, step: 0.1, value: 0, shown: (v) => (10 ** v).toFixed(v < -1 ? 3 : 2), changed: redraw("temperature", (v) => 10 ** v),
    }),
  ];
  const button = (label, onclick) => make("button", { type: "button", onclick }, label);
  const fresh = () => [held(normals(list.length + 77, 1)[0] * 0.7, REACH), held(normals(list.length + 99, 1)[0] * 0.7, RISE)];
  place.replaceChildren(
    make("p", { class: "play-key" }, make("i", { class: "play-first" }), "exact posterior, two standard deviations ",
      make("i", { class: "play-second play-dashed" }), "best mean-field Gaussian (dashed)"),
    svg,
    make("div", { class: "play-buttons" },
      button("Add a point", () => { const i = add(fresh()); handles.children[i].focus(); }),
      button("Remove one", () => { list.pop(); refresh(true); }),
      button("Sample curves", () => { curves += 1; refresh(); }),
      button("Hide curves", () => { curves = 0; refresh(); }),
      button("Start again", () => { list = START.map((point) => [...point]); curves = 0; refresh(true); })),
    make("div", { class: "play-sliders" }, ...sliders.map(({ row }) => row)), status);
  refresh(true);
  place.dataset.ready = "yes";
}

function sampled(found, seed) {
  const size = features(0).length;
  return [["play-first", found.drawExact], ["play-second", found.drawMeanField]].flatMap(([kind, draw], of2) =>
    Array.from({ length: CURVES }, (_, i) =>
      make("svg:path", { class: `${kind} play-curve`, d: path(GRID, draw(normals(1000 * seed + 10 * i + of2, size))) })));
}
