// Small things that every piece needs of the page: elements, sliders, the theme.

const SVG = "http://www.w3.org/2000/svg";

/** Make an element with attributes and children; names of SVG begin with "svg:". */
export function make(name, attributes = {}, ...children) {
  const found = name.startsWith("svg:") ? document.createElementNS(SVG, name.slice(4)) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) found.addEventListener(key.slice(2), value);
    else if (value !== null && value !== false) found.setAttribute(key, value === true ? "" : value);
  }
  found.append(...children);
  return found;
}

/** Make a labelled slider; `shown` writes its value as words, and `changed` is called with each new value. */
export function slider(label, { min, max, step, value, shown, changed }) {
  const output = make("output", {}, shown(value));
  const input = make("input", {
    type: "range", min, max, step, value, "aria-valuetext": shown(value),
    oninput: () => {
      const now = Number(input.value);
      output.textContent = shown(now);
      input.setAttribute("aria-valuetext", shown(now));
      changed(now);
    },
  });
  return { input, row: make("label", { class: "play-slider" }, make("span", {}, label), input, output) };
}

/** Read a colour of the theme that is on. */
export function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--play-${name}`).trim();
}

/** Call a function whenever the reader changes the theme. */
export function onTheme(changed) {
  new MutationObserver(changed).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
}

/** Say whether the reader asked for less motion. */
export function calm() {
  return window.matchMedia("(prefers-reduced-motion: reduce)").matches;
}

/** Write a share as a percentage: 99.97 % is not 100 %, and 0.02 % is not nothing. */
export function percent(share) {
  if (share > 0 && share < 0.005) return "under 0.5 %";
  if (share < 1 && share > 0.995) return "over 99.5 %";
  return `${Math.round(100 * share)} %`;
}
