// Draw a digit: thirty networks from the posterior answer, a plain network beside them.

import { centred } from "./image.js";
import { drawing, meanNetwork, patches, probabilities, readLayers, widened } from "./network.js";
import { colour, make, onTheme, percent, slider } from "./page.js";
import { unpacked } from "./stored.js";
import { average, decide, decompose, entropy } from "./uncertainty.js";

const SIZE = 280;
const PEN = 22;
const PATIENCE = 8; // milliseconds
const DRAWING = "Drawing thirty networks from the posterior …";
const MOST = Math.log(10);
const WIDTHS = { 0: "0, the means alone", 1: "as it is" };
const KINDS = [
  ["digit", "A test digit"], ["letter", "A letter"], ["shoe", "A shoe"],
  ["noise", "Noise"], ["turned", "A turned 7"], ["misread", "A misread digit"],
];

/** Answer for one image (784): what each draw of the posterior says, and what the plain network says. */
export function answer(networks, plain, image) {
  const seen = patches(image);
  const draws = networks.map((network) => probabilities(network, seen));
  return { draws, mean: average(draws), doubt: decompose(draws), plain: probabilities(plain, seen) };
}

/** Draw the networks bit by bit, with a pause after each few milliseconds, so that the page never stalls. */
function gather(layers, count, ready) {
  const networks = [];
  let steps = drawing(layers, 0);
  const next = () => {
    const begun = performance.now();
    while (performance.now() - begun < PATIENCE) {
      const step = steps.next();
      if (!step.done) continue;
      networks.push(step.value);
      if (networks.length === count) return ready(networks);
      steps = drawing(layers, networks.length);
    }
    return setTimeout(next);
  };
  setTimeout(next);
}

/** The sheet to draw on, by mouse, finger or keyboard. */
function sheet(changed) {
  const canvas = make("canvas", {
    width: SIZE, height: SIZE, tabindex: 0, class: "play-sheet", role: "application",
    "aria-label": "Sheet to draw a digit on. By keyboard: the arrow keys move the pen, the space bar sets it down or lifts " +
      "it, Escape wipes the sheet.",
  });
  const ink = make("canvas", { width: SIZE, height: SIZE });
  const pen = ink.getContext("2d", { willReadFrequently: true });
  const state = { lines: [], bytes: null, at: [140, 60], down: false, keys: false };

  function wipe() {
    Object.assign(state, { lines: [], bytes: null, down: false });
    show();
  }
  function stroke() {
    pen.clearRect(0, 0, SIZE, SIZE);
    Object.assign(pen, { lineWidth: PEN, lineCap: "round", lineJoin: "round", strokeStyle: "#000" });
    for (const line of state.lines) {
      pen.beginPath();
      pen.moveTo(...line[0]);
      for (const point of line) pen.lineTo(...point);
      if (line.length === 1) pen.lineTo(line[0][0] + 0.1, line[0][1]);
      pen.stroke();
    }
  }
  function image() {
    if (state.bytes) return Float64Array.from(state.bytes, (byte) => byte / 256);
    stroke();
    const data = pen.getImageData(0, 0, SIZE, SIZE).data;
    return centred(Float64Array.from({ length: SIZE * SIZE }, (_, i) => data[4 * i + 3] / 255), SIZE);
  }
  function show() {
    const sight = canvas.getContext("2d");
    sight.clearRect(0, 0, SIZE, SIZE);
    if (state.bytes) paint(sight, Float64Array.from(state.bytes, (byte) => byte / 255), SIZE);
    else {
      stroke();
      sight.drawImage(ink, 0, 0);
      sight.globalCompositeOperation = "source-in";
      sight.fillStyle = colour("ink");
      sight.fillRect(0, 0, SIZE, SIZE);
      sight.globalCompositeOperation = "source-over";
    }
    if (state.keys) {
      Object.assign(sight, { strokeStyle: colour("second"), lineWidth: 3 });
      sight.beginPath();
      sight.arc(...state.at, PEN / 2, 0, 7);
      sight.stroke();
    }
  }
  function begin(point) {
    if (state.bytes) wipe();
    state.lines.push([point]);
    state.down = true;
  }
  function moved(point) {
    if (!state.down) return;
    state.lines[state.lines.length - 1].push(point);
    changed();
  }
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return [((event.clientX - box.left) * SIZE) / box.width, ((event.clientY - box.top) * SIZE) / box.height];
  };
  canvas.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    canvas.focus({ preventScroll: true });
    canvas.setPointerCapture(event.pointerId);
    state.keys = false;
    begin(place(event));
    changed();
  });
  canvas.addEventListener("pointermove", (event) => moved(place(event)));
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => (state.down = false));
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [-10, 0], ArrowRight: [10, 0], ArrowUp: [0, -10], ArrowDown: [0, 10] }[event.key];
    if (!step && event.key !== " " && event.key !== "Escape") return;
    event.preventDefault();
    state.keys = true;
    if (event.key === "Escape") wipe();
    else if (event.key === " ") {
      if (state.down) state.down = false;
      else begin([...state.at]);
    } else {
      state.at = state.at.map((value, i) => Math.min(SIZE - 14, Math.max(14, value + step[i])));
      moved([...state.at]);
    }
    changed();
  });
  canvas.addEventListener("blur", () => {
    Object.assign(state, { keys: false, down: false });
    show();
  });
  return { canvas, image, show, wipe, load: (bytes) => { wipe(); state.bytes = bytes; } };
}

/** Paint a 28x28 image in the theme's ink, without smoothing. */
function paint(context, image, size) {
  const small = make("canvas", { width: 28, height: 28 });
  const sight = small.getContext("2d");
  sight.fillStyle = colour("ink");
  sight.fillRect(0, 0, 28, 28);
  const data = sight.getImageData(0, 0, 28, 28);
  image.forEach((value, i) => { data.data[4 * i + 3] = Math.round(255 * value); });
  sight.putImageData(data, 0, 0);
  context.imageSmoothingEnabled = false;
  context.clearRect(0, 0, size, size);
  context.drawImage(small, 0, 0, size, size);
}

/** The bars: the mean of the draws, each draw as a dot, and the plain network's own bar beside. All lie at zero until there are draws. */
function bars() {
  const [left, top, high, column] = [40, 8, 130, 31];
  const svg = make("svg:svg", {
    viewBox: "0 0 356 168", class: "play-plot play-waiting", role: "img",
    "aria-label": "Probabilities of the ten digits. There are none yet: the networks are being drawn.",
  });
  for (const share of [0, 0.5, 1]) {
    const y = top + high * (1 - share);
    svg.append(
      make("svg:line", { x1: left, x2: 352, y1: y, y2: y, class: "play-grid" }),
      make("svg:text", { x: left - 4, y: y + 4, class: "play-tick", "text-anchor": "end" }, `${100 * share} %`));
  }
  const columns = Array.from({ length: 10 }, (_, digit) => {
    const x = left + 2 + digit * column;
    const bar = make("svg:rect", { x: x + 1, width: 14, y: top + high, height: 0, class: "play-first" });
    const other = make("svg:rect", { x: x + 18, width: 9, y: top + high, height: 0, class: "play-second" });
    const dots = Array.from({ length: 30 }, (_, i) =>
      make("svg:circle", { cx: x + 3 + ((i * 7) % 11), cy: top + high, r: 1.7, class: "play-dot" }));
    const text = make("svg:text", { x: x + 13, y: top + high + 17, class: "play-label", "text-anchor": "middle" }, digit);
    svg.append(bar, other, ...dots, text);
    return { bar, other, dots };
  });
  const wait = make("svg:text", { x: left + 156, y: top + high / 4 + 4, class: "play-tick", "text-anchor": "middle" }, DRAWING);
  svg.append(wait);
  const set = (rect, p) => {
    rect.setAttribute("y", top + high * (1 - p));
    rect.setAttribute("height", high * p);
  };
  return {
    svg,
    show({ mean, draws, plain }) {
      wait.remove();
      svg.classList.remove("play-waiting");
      columns.forEach(({ bar, other, dots }, digit) => {
        set(bar, mean[digit]);
        set(other, plain[digit]);
        dots.forEach((dot, i) => { dot.setAttribute("cy", top + high * (1 - draws[i % draws.length][digit])); });
      });
      const best = mean.indexOf(Math.max(...mean));
      svg.setAttribute("aria-label", `Probabilities of the ten digits. The Bayesian network gives ${best} ` +
        `${percent(mean[best])}; its draws lie between ${percent(Math.min(...draws.map((p) => p[best])))} and ` +
        `${percent(Math.max(...draws.map((p) => p[best])))}. The plain network gives it ${percent(plain[best])}.`);
    },
  };
}

/** The doubt as a strip of two parts, on the scale of the most that there can be, log 10. */
function strips() {
  const part = (kind) => make("span", { class: `play-part ${kind}` });
  const [open, unknown, other] = ["play-open", "play-first", "play-second"].map(part);
  const said = Array.from({ length: 3 }, () => make("span", {}, "… nats"));
  const node = make("div", { class: "play-strips" },
    make("div", { class: "play-strip" }, open, unknown),
    make("p", { class: "play-key" }, make("i", { class: "play-open" }), "expected entropy: the draws agree that it is open, ", said[0],
      make("br"), make("i", { class: "play-first" }), "mutual information: the draws disagree, ", said[1]),
    make("div", { class: "play-strip" }, other),
    make("p", { class: "play-key" }, make("i", { class: "play-second" }), "entropy of the plain network, ", said[2]));
  const nats = (value) => `${Math.max(0, value).toFixed(2)} nats`;
  return {
    node,
    show({ doubt, plain }) {
      const values = [doubt.aleatoric, doubt.epistemic, entropy(plain)];
      [open, unknown, other].forEach((span, i) => { span.style.width = `${(100 * Math.max(0, values[i])) / MOST}%`; });
      said.forEach((span, i) => { span.textContent = nats(values[i]); });
    },
  };
}

/** Say in words what a network does at this cost of asking. */
function verdict(p, cost) {
  const { answer: best, risk, ask } = decide(p, cost);
  return ask ? `I would ask a person. My best guess is ${best}, and I put the chance of a mistake at ${percent(risk)}.`
    : `I say ${best}, and put the chance of a mistake at ${percent(risk)}.`;
}

/** Start the piece inside an element; `data` is what tools/play stored. */
export function digits(place, data) {
  const plain = meanNetwork(readLayers(data.plain)), layers = readLayers(data.layers), centre = meanNetwork(layers);
  const images = Object.fromEntries(Object.entries(data.images).map(([kind, stored]) =>
    [kind, { bytes: unpacked(stored), names: stored.names, next: 0 }]));
  let drawn = null, networks = null, cost = 0.05, subject = "", waiting = false;

  const paper = sheet(changed);
  const eye = make("canvas", { width: 56, height: 56, class: "play-eye", role: "img", "aria-label": "What the networks see, 28x28 pixels" });
  const chart = bars(), strip = strips();
  const ours = make("p", { class: "play-verdict play-mark-first" }), theirs = make("p", { class: "play-verdict play-mark-second" });
  const status = make("p", { class: "play-status", role: "status" }, DRAWING);
  const price = slider("Asking a person costs", {
    min: 1, max: 60, step: 1, value: 5, shown: (value) => `${value} % of a mistake`,
    changed: (value) => { cost = value / 100; refresh(); },
  });
  const width = slider("Width of the posterior", {
    min: 0, max: 3, step: 0.25, value: 1, shown: (value) => WIDTHS[value] ?? `${value} times`, changed: widen,
  });

  function widen() {
    networks = null;
    changed(true);
  }
  function asWide() {
    networks ??= drawn.map((network) => widened(network, centre, Number(width.input.value)));
    return networks;
  }

  function load(kind) {
    const chosen = images[kind];
    const at = chosen.next++ % chosen.names.length;
    paper.load(chosen.bytes.subarray(784 * at, 784 * (at + 1)));
    subject = `You see ${chosen.names[at]}. `;
    changed(true);
  }
  function changed(kept) {
    if (kept !== true) subject = "";
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; refresh(); });
  }
  function refresh() {
    paper.show();
    if (!drawn) return;
    const image = paper.image();
    paint(eye.getContext("2d"), image, 56);
    if (!image.some((value) => value > 0)) {
      status.textContent = "Draw a digit, or press one of the buttons.";
      return;
    }
    const found = answer(asWide(), plain, image);
    chart.show(found);
    strip.show(found);
    ours.textContent = `Bayesian: ${verdict(found.mean, cost)}`;
    theirs.textContent = `Plain: ${verdict(found.plain, cost)}`;
    status.textContent = `${subject}Press again for another one.`.replace(/^Press.*/, "");
  }

  const buttons = KINDS.map(([kind, label]) => make("button", { type: "button", onclick: () => load(kind) }, label));
  const clear = make("button", { type: "button", onclick: () => { paper.wipe(); changed(); } }, "Wipe");
  place.replaceChildren(
    make("div", { class: "play-columns" },
      make("div", { class: "play-narrow" }, paper.canvas, make("div", { class: "play-buttons" }, clear, ...buttons)),
      make("div", { class: "play-wide" },
        make("p", { class: "play-key" }, eye, make("i", { class: "play-first" }), "30 draws of the Bayesian network (dots), and their mean ",
          make("i", { class: "play-second" }), "a plain network "),
        chart.svg, strip.node, width.row, price.row, ours, theirs, status)));
  onTheme(refresh);
  gather(layers, data.draws, (gathered) => {
    drawn = gathered;
    if (!paper.image().some((value) => value > 0)) load("letter");
    else refresh();
    place.dataset.ready = "yes";
  });
  return { answer: (image) => answer(asWide(), plain, image) };
}
