// Start every piece of the page: one that needs data once its place comes near the reader's view, any other at once.
// Explained in CONTRIBUTING.md.

import { answer, digits } from "./digits.js";
import { posterior } from "./gaussian.js";
import { centred } from "./image.js";
import { moons } from "./moons.js";
import { drawNetwork, meanNetwork, readLayers, widened } from "./network.js";
import { normals } from "./noise.js";
import { comparison, points } from "./points.js";
import { unpacked } from "./stored.js";
import { average, decide, decompose } from "./uncertainty.js";

const PIECES = { digits, moons, points };

// What the tests hold against Python.
window.play = {
  answer, average, centred, comparison, decide, decompose, drawNetwork, meanNetwork, normals, posterior, readLayers, unpacked,
  widened,
};

/** Load what a piece computes with, by a script: a page that is opened from a disk may fetch nothing. */
function load(place) {
  const script = document.createElement("script");
  script.src = place.dataset.source;
  script.onload = () => begin(place);
  script.onerror = () => still(place);
  document.head.append(script);
}

/** Leave the still picture where it is, and keep no room for more. */
function still(place) {
  place.classList.add("play-kept");
}

function begin(place) {
  const piece = place.dataset.piece;
  const data = window.playData?.[piece];
  if (!PIECES[piece] || (place.dataset.source && !data)) return still(place);
  place.setAttribute("role", "group");
  place.setAttribute("aria-label", place.dataset.label);
  PIECES[piece](place, data);
}

function watch() {
  const near = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      near.unobserve(target);
      load(target);
    }
  }, { rootMargin: "400px" });
  document.querySelectorAll(".play[data-piece]").forEach((place) => {
    if (place.dataset.source) near.observe(place);
    else begin(place);
  });
}

if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", watch);
else watch();
