// What a picture's pixels tell: where it has most detail (the window with the largest local variance), and whether one sees
// through it. Arithmetic alone; no canvas.

export const BLOCK = 8; // pixels a side over which the variance is taken

function variance(luma, width, left, top) {
  let sum = 0;
  let squares = 0;
  for (let y = top; y < top + BLOCK; y++) {
    for (let x = left; x < left + BLOCK; x++) {
      const value = luma[y * width + x];
      sum += value;
      squares += value * value;
    }
  }
  const count = BLOCK * BLOCK;
  return squares / count - (sum / count) ** 2;
}

// Sums of everything above and left of each block, so that a window's sum takes four of them.
function sumsOf(luma, width, columns, rows) {
  const sums = new Float64Array((columns + 1) * (rows + 1));
  for (let row = 0; row < rows; row++) {
    let line = 0;
    for (let column = 0; column < columns; column++) {
      line += Math.sqrt(Math.max(0, variance(luma, width, column * BLOCK, row * BLOCK)));
      sums[(row + 1) * (columns + 1) + column + 1] = sums[row * (columns + 1) + column + 1] + line;
    }
  }
  return sums;
}

const blocks = (pixels, most) => Math.min(most, Math.max(1, Math.round(pixels / BLOCK)));

// The centre [x, y], in shares of the picture, of the busiest window of [width, height] pixels; `luma`: a byte a pixel.
export function busiest(luma, [width, height], window) {
  const columns = Math.floor(width / BLOCK);
  const rows = Math.floor(height / BLOCK);
  if (!columns || !rows) return [0.5, 0.5];
  const sums = sumsOf(luma, width, columns, rows);
  const [wide, high] = [blocks(window[0], columns), blocks(window[1], rows)];
  let best = {sum: -1};
  for (let row = 0; row + high <= rows; row++) {
    for (let column = 0; column + wide <= columns; column++) {
      const at = (r, c) => sums[r * (columns + 1) + c];
      const sum = at(row + high, column + wide) - at(row, column + wide) - at(row + high, column) + at(row, column);
      if (sum > best.sum) best = {sum, row, column};
    }
  }
  return [((best.column + wide / 2) * BLOCK) / width, ((best.row + high / 2) * BLOCK) / height];
}

export function isTransparent(rgba) {
  for (let i = 3; i < rgba.length; i += 4) if (rgba[i] < 255) return true;
  return false;
}

export function lumaOf(rgba) {
  const luma = new Uint8Array(rgba.length / 4);
  for (let i = 0; i < luma.length; i++) {
    luma[i] = 0.299 * rgba[i * 4] + 0.587 * rgba[i * 4 + 1] + 0.114 * rgba[i * 4 + 2];
  }
  return luma;
}
