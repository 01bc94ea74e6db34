// What tools/play stores: arrays as bytes in base64, with the step or the steps that they count.

function bytes(text) {
  const raw = atob(text);
  const found = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) found[i] = raw.charCodeAt(i);
  return found;
}

/** Give an array of bytes that `pack` stored. */
export function unpacked(stored) {
  return bytes(stored.bytes);
}

/** Give an array that `numbers` stored, or `quantised`: signed with a step for each row, or unsigned with one for all. */
export function numbers(stored, signed) {
  if (stored.numbers) return Float64Array.from(stored.numbers);
  const raw = bytes(stored.bytes);
  const counts = signed ? new Int8Array(raw.buffer) : raw;
  const found = new Float64Array(counts.length);
  const row = counts.length / stored.steps.length;
  for (let i = 0; i < counts.length; i++) found[i] = counts[i] * stored.steps[Math.floor(i / row)];
  return found;
}
