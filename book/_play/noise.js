// Standard normal numbers that Python draws alike: the same lines stand in tools/play/noise.py.

const GOLDEN = 0x9e3779b9;

function mixed(bits) {
  bits = Math.imul(bits ^ (bits >>> 16), 0x7feb352d);
  bits = Math.imul(bits ^ (bits >>> 15), 0x846ca68b);
  return (bits ^ (bits >>> 16)) >>> 0;
}

/** Draw n standard normal numbers; the same seed gives the same numbers. */
export function normals(seed, n) {
  const drawn = new Float64Array(n);
  fill(drawn, seed, 0, n);
  return drawn;
}

/** Draw the numbers of an array from place `from`, which is even, to before place `n`. */
export function fill(drawn, seed, from, n) {
  const start = mixed((Math.imul(seed, GOLDEN) + 1) >>> 0);
  for (let i = from; i < n; i += 2) {
    const first = (mixed((start + i) >>> 0) + 0.5) / 4294967296;
    const second = (mixed((start + i + 1) >>> 0) + 0.5) / 4294967296;
    const radius = Math.sqrt(-2 * Math.log(first));
    drawn[i] = radius * Math.cos(2 * Math.PI * second);
    if (i + 1 < n) drawn[i + 1] = radius * Math.sin(2 * Math.PI * second);
  }
}
