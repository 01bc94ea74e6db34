// The convolutional network of the MNIST chapter, in plain JavaScript, for one image and many draws of its weights.
// Shapes: 28x28 -> 32 filters of 5x5, pooling, tanh -> 32 filters of 5x5, pooling, tanh -> 256 units, tanh -> 10 classes.

import { fill } from "./noise.js";
import { numbers } from "./stored.js";

const SLICE = 8192; // normal numbers that are drawn without a pause: even, and a few milliseconds on a phone
const SIZES = [[32, 25], [32, 800], [256, 512], [10, 256]]; // outputs and inputs of each layer

/** Say where torch's weight number i of a layer goes: pixel by pixel, channels last, so that inner loops run straight. */
function places(layer) {
  const [outputs, inputs] = SIZES[layer];
  const found = new Int32Array(outputs * inputs);
  const pixels = { 1: 25, 2: 16 }[layer] || 1; // torch counts channel by channel, and within one pixel by pixel
  const channels = inputs / pixels;
  for (let o = 0; o < outputs; o++) {
    for (let c = 0; c < channels; c++) {
      for (let p = 0; p < pixels; p++) {
        found[o * inputs + c * pixels + p] = o * inputs + p * channels + c;
      }
    }
  }
  return found;
}

const PLACES = SIZES.map((_, layer) => (layer === 0 || layer === 3 ? null : places(layer)));

function ordered(values, layer) {
  if (!PLACES[layer]) return values;
  const found = new Float64Array(values.length);
  for (let i = 0; i < values.length; i++) found[PLACES[layer][i]] = values[i];
  return found;
}

/** Read the layers of a posterior, each with means and scales, or of a plain network, with means alone. */
export function readLayers(stored) {
  return stored.map((layer) => ({
    mean: numbers(layer.mean, true),
    scale: layer.scale ? numbers(layer.scale, false) : null,
    biasMean: Float64Array.from(layer.biasMean),
    biasScale: layer.biasScale ? Float64Array.from(layer.biasScale) : null,
  }));
}

/** Make the network of the means alone. */
export function meanNetwork(layers) {
  return layers.map((layer, i) => ({ weight: ordered(layer.mean, i), bias: layer.biasMean }));
}

/** Draw a network in small steps: mean plus scale times noise, layer after layer, weights before biases. */
export function* drawing(layers, seed) {
  const size = layers.reduce((n, layer) => n + layer.mean.length + layer.biasMean.length, 0);
  const noise = new Float64Array(size);
  for (let from = 0; from < size; from += SLICE) {
    fill(noise, seed, from, Math.min(size, from + SLICE));
    yield null;
  }
  let start = 0;
  const drawn = (mean, scale) => {
    const found = new Float64Array(mean.length);
    for (let i = 0; i < mean.length; i++) found[i] = mean[i] + scale[i] * noise[start + i];
    start += mean.length;
    return found;
  };
  const network = [];
  for (const [i, layer] of layers.entries()) {
    const weight = ordered(drawn(layer.mean, layer.scale), i);
    network.push({ weight, bias: drawn(layer.biasMean, layer.biasScale) });
    yield null;
  }
  return network;
}

/** Draw a network at once. */
export function drawNetwork(layers, seed) {
  const steps = drawing(layers, seed);
  let step = steps.next();
  while (!step.done) step = steps.next();
  return step.value;
}

/** Scale how far a drawn network lies from the posterior's mean: 0 gives the mean, 1 the draw, 2 twice its distance. */
export function widened(network, mean, width) {
  if (width === 1) return network;
  const moved = (drawn, centre) => drawn.map((value, i) => centre[i] + width * (value - centre[i]));
  return network.map(({ weight, bias }, i) => ({ weight: moved(weight, mean[i].weight), bias: moved(bias, mean[i].bias) }));
}

/** Cut an image into the patches that the first filters see, four in a row for each place that pooling makes of them. */
export function patches(image) {
  const found = new Float64Array(576 * 25);
  const blank = new Uint8Array(144);
  let at = 0;
  for (let place = 0; place < 144; place++) {
    const [top, left] = [2 * Math.floor(place / 12), 2 * (place % 12)];
    let ink = 0;
    for (let of4 = 0; of4 < 4; of4++) {
      for (let row = 0; row < 5; row++) {
        const from = (top + (of4 >> 1) + row) * 28 + left + (of4 & 1);
        for (let column = 0; column < 5; column++) {
          ink += found[at++] = image[from + column];
        }
      }
    }
    blank[place] = ink === 0 ? 1 : 0;
  }
  return { values: found, blank };
}

function first(seen, { weight, bias }, out) {
  const { values, blank } = seen;
  for (let place = 0; place < 144; place++) {
    const to = place * 32;
    if (blank[place]) {
      for (let o = 0; o < 32; o++) out[to + o] = Math.tanh(bias[o]);
      continue;
    }
    const p = place * 100;
    for (let o = 0; o < 32; o += 2) {
      let a0 = 0, a1 = 0, a2 = 0, a3 = 0, b0 = 0, b1 = 0, b2 = 0, b3 = 0;
      for (let k = 0, w = o * 25; k < 25; k++, w++) {
        const u = weight[w], v = weight[w + 25];
        const x0 = values[p + k], x1 = values[p + k + 25], x2 = values[p + k + 50], x3 = values[p + k + 75];
        a0 += u * x0; a1 += u * x1; a2 += u * x2; a3 += u * x3;
        b0 += v * x0; b1 += v * x1; b2 += v * x2; b3 += v * x3;
      }
      out[to + o] = Math.tanh(Math.max(a0, a1, a2, a3) + bias[o]);
      out[to + o + 1] = Math.tanh(Math.max(b0, b1, b2, b3) + bias[o + 1]);
    }
  }
}

function second(seen, { weight, bias }, out) {
  for (let place = 0; place < 16; place++) {
    const corner = (2 * Math.floor(place / 4) * 12 + 2 * (place % 4)) * 32;
    for (let o = 0; o < 32; o += 2) {
      let a0 = 0, a1 = 0, a2 = 0, a3 = 0, b0 = 0, b1 = 0, b2 = 0, b3 = 0;
      for (let row = 0; row < 5; row++) {
        const end = corner + row * 384 + 160;
        for (let p = corner + row * 384, w = o * 800 + row * 160; p < end; p++, w++) {
          const u = weight[w], v = weight[w + 800];
          const x0 = seen[p], x1 = seen[p + 32], x2 = seen[p + 384], x3 = seen[p + 416];
          a0 += u * x0; a1 += u * x1; a2 += u * x2; a3 += u * x3;
          b0 += v * x0; b1 += v * x1; b2 += v * x2; b3 += v * x3;
        }
      }
      out[place * 32 + o] = Math.tanh(Math.max(a0, a1, a2, a3) + bias[o]);
      out[place * 32 + o + 1] = Math.tanh(Math.max(b0, b1, b2, b3) + bias[o + 1]);
    }
  }
}

function dense(seen, { weight, bias }, out) {
  const inputs = seen.length;
  for (let o = 0, w = 0; o < out.length; o++, w += inputs) {
    let a = 0, b = 0, c = 0, d = 0;
    for (let i = 0; i < inputs; i += 4) {
      a += weight[w + i] * seen[i];
      b += weight[w + i + 1] * seen[i + 1];
      c += weight[w + i + 2] * seen[i + 2];
      d += weight[w + i + 3] * seen[i + 3];
    }
    out[o] = a + b + c + d + bias[o];
  }
}

const scratch = [4608, 512, 256, 10].map((n) => new Float64Array(n));

/** Give the class probabilities (10) of one network for an image that `patches` has cut. */
export function probabilities(network, seen) {
  const [maps, features, hidden, sums] = scratch;
  first(seen, network[0], maps);
  second(maps, network[1], features);
  dense(features, network[2], hidden);
  for (let i = 0; i < 256; i++) hidden[i] = Math.tanh(hidden[i]);
  dense(hidden, network[3], sums);
  const most = Math.max(...sums);
  const found = sums.map((sum) => Math.exp(sum - most));
  const total = found.reduce((a, b) => a + b, 0);
  return found.map((value) => value / total);
}
