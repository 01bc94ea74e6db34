// A last layer over fixed tanh features: its exact posterior, and the mean-field Gaussian that is closest to it.
// With precision P of the exact posterior, the mean-field optimum has the same mean and the precisions diag(P).

export const UNITS = 20;
const REACH = 1.6;
const WIDTH = 0.35;

/** Give the features (21) of an input: a constant, and 20 tanh units with evenly spaced centres. */
export function features(x) {
  const found = new Float64Array(UNITS + 1);
  found[0] = 1;
  for (let k = 0; k < UNITS; k++) {
    found[k + 1] = Math.tanh((x - (-REACH + (2 * REACH * k) / (UNITS - 1))) / WIDTH);
  }
  return found;
}

function cholesky(matrix) {
  const n = matrix.length;
  const lower = matrix.map((row) => Float64Array.from(row));
  for (let j = 0; j < n; j++) {
    for (let k = 0; k < j; k++) {
      for (let i = j; i < n; i++) lower[i][j] -= lower[i][k] * lower[j][k];
    }
    const root = Math.sqrt(lower[j][j]);
    for (let i = j; i < n; i++) lower[i][j] /= root;
    for (let i = 0; i < j; i++) lower[i][j] = 0;
  }
  return lower;
}

function forward(lower, b) {
  const x = Float64Array.from(b);
  for (let i = 0; i < x.length; i++) {
    for (let k = 0; k < i; k++) x[i] -= lower[i][k] * x[k];
    x[i] /= lower[i][i];
  }
  return x;
}

function backward(lower, b) {
  const x = Float64Array.from(b);
  for (let i = x.length - 1; i >= 0; i--) {
    for (let k = i + 1; k < x.length; k++) x[i] -= lower[k][i] * x[k];
    x[i] /= lower[i][i];
  }
  return x;
}

const dot = (a, b) => a.reduce((sum, value, i) => sum + value * b[i], 0);

/**
 * Compute the posterior of the weights w of y = w . features(x) + noise, under the prior N(0, prior^2) for each weight.
 * A temperature T weighs the divergence, which raises the likelihood to the power 1/T: at 1 it is the posterior.
 */
export function posterior(points, { noise, prior, temperature }) {
  const n = UNITS + 1;
  const precision = Array.from({ length: n }, (_, i) =>
    Float64Array.from({ length: n }, (_, j) => (i === j ? 1 / prior ** 2 : 0)));
  const right = new Float64Array(n);
  const weight = 1 / (noise ** 2 * temperature);
  for (const [x, y] of points) {
    const phi = features(x);
    for (let i = 0; i < n; i++) {
      right[i] += weight * phi[i] * y;
      for (let j = 0; j < n; j++) precision[i][j] += weight * phi[i] * phi[j];
    }
  }
  const lower = cholesky(precision);
  const mean = backward(lower, forward(lower, right));
  const diagonal = Float64Array.from(precision, (row, i) => 1 / row[i]);
  return {
    mean: (x) => dot(features(x), mean),
    exact: (x) => {
      const half = forward(lower, features(x));
      return Math.sqrt(dot(half, half));
    },
    meanField: (x) => Math.sqrt(features(x).reduce((sum, phi, i) => sum + phi * phi * diagonal[i], 0)),
    drawExact: (z) => {
      const off = backward(lower, z);
      return (x) => dot(features(x), mean.map((m, i) => m + off[i]));
    },
    drawMeanField: (z) => (x) => dot(features(x), mean.map((m, i) => m + Math.sqrt(diagonal[i]) * z[i])),
  };
}

/** Find the widest gap between neighbouring points, and give its middle; null with fewer than two points. */
export function gap(points) {
  const xs = points.map(([x]) => x).sort((a, b) => a - b);
  let found = null;
  for (let i = 1; i < xs.length; i++) {
    if (!found || xs[i] - xs[i - 1] > found.width) found = { width: xs[i] - xs[i - 1], middle: (xs[i] + xs[i - 1]) / 2 };
  }
  return found;
}
