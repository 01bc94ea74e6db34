// What is drawn becomes an image as MNIST's were made: scaled into 20x20 pixels, and centred by its mass in 28x28.

/** Scale ink (size x size, 0 to 1) into 20x20, keep its shape, and put its centre of mass into the middle of 28x28. */
export function centred(ink, size) {
  const box = bounds(ink, size);
  const image = new Float64Array(784);
  if (!box) return image;
  const scale = 20 / Math.max(box.right - box.left, box.bottom - box.top);
  const [wide, high] = [box.right - box.left, box.bottom - box.top].map((n) => Math.max(1, Math.round(n * scale)));
  const small = new Float64Array(wide * high);
  let mass = 0, across = 0, down = 0;
  for (let y = 0; y < high; y++) {
    for (let x = 0; x < wide; x++) {
      const found = mean(ink, size, box.left + x / scale, box.top + y / scale, 1 / scale);
      small[y * wide + x] = found;
      mass += found;
      across += found * (x + 0.5);
      down += found * (y + 0.5);
    }
  }
  const left = Math.round(14 - across / mass), top = Math.round(14 - down / mass);
  for (let y = 0; y < high; y++) {
    for (let x = 0; x < wide; x++) {
      const [column, row] = [x + left, y + top];
      if (column >= 0 && column < 28 && row >= 0 && row < 28) {
        image[row * 28 + column] = Math.min(255, Math.round(256 * small[y * wide + x])) / 256;
      }
    }
  }
  return image;
}

function bounds(ink, size) {
  let left = size, right = 0, top = size, bottom = 0;
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      if (ink[y * size + x] > 0.1) {
        left = Math.min(left, x);
        right = Math.max(right, x + 1);
        top = Math.min(top, y);
        bottom = Math.max(bottom, y + 1);
      }
    }
  }
  return right ? { left, right, top, bottom } : null;
}

/** Average the ink of a square whose corners may lie between pixels. */
function mean(ink, size, left, top, side) {
  const [right, bottom] = [left + side, top + side];
  let sum = 0;
  for (let y = Math.floor(top); y < Math.min(size, Math.ceil(bottom)); y++) {
    const high = Math.min(y + 1, bottom) - Math.max(y, top);
    for (let x = Math.floor(left); x < Math.min(size, Math.ceil(right)); x++) {
      sum += ink[y * size + x] * high * (Math.min(x + 1, right) - Math.max(x, left));
    }
  }
  return sum / (side * side);
}
