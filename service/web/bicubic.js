// Bicubic enlargement (Keys 1981, a = -1/2), as Pillow's `BICUBIC` and the service's own `model=bicubic` do it: taps
// beyond the frame are dropped and the rest sums to 1. A part of the enlarged picture can be asked for, so that only
// what is looked at is computed. It reads and writes RGBA bytes and knows no canvas.

const TAPS = 5;

function keys(distance) {
  const x = Math.abs(distance);
  if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
  return x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0;
}

// For `count` samples from `start` on: the first source pixel of each, and TAPS weights each.
function tapsOf(start, count, sizeIn, sizeOut) {
  const first = new Int32Array(count);
  const weights = new Float32Array(count * TAPS);
  for (let i = 0; i < count; i++) {
    const centre = ((start + i + 0.5) * sizeIn) / sizeOut;
    const low = Math.max(0, Math.floor(centre - 1.5));
    const high = Math.min(sizeIn, Math.floor(centre + 2.5));
    let sum = 0;
    for (let x = low; x < high; x++) sum += weights[i * TAPS + x - low] = keys(x + 0.5 - centre);
    for (let tap = 0; tap < TAPS; tap++) weights[i * TAPS + tap] /= sum;
    first[i] = low;
  }
  return {first, weights};
}

// The source pixels [start, stop) that samples [start, start + count) of an axis are made of.
export function needed(start, count, sizeIn, sizeOut) {
  const at = sample => ((sample + 0.5) * sizeIn) / sizeOut;
  return [Math.max(0, Math.floor(at(start) - 1.5)), Math.min(sizeIn, Math.floor(at(start + count - 1) + 2.5))];
}

// Colours of transparent pixels must not bleed into others: they are weighed by their alpha.
function premultiplied(data) {
  const out = new Float32Array(data);
  for (let i = 0; i < out.length; i += 4) {
    const alpha = data[i + 3] / 255;
    if (alpha === 1) continue;
    for (let c = 0; c < 3; c++) out[i + c] *= alpha;
  }
  return out;
}

function across(pixels, width, height, taps, offset, count) {
  const out = new Float32Array(count * height * 4);
  for (let y = 0, to = 0; y < height; y++) {
    for (let i = 0; i < count; i++, to += 4) {
      const from = taps.first[i] - offset;
      const most = Math.min(TAPS, width - from);
      let [red, green, blue, alpha] = [0, 0, 0, 0];
      for (let tap = 0, at = (y * width + from) * 4; tap < most; tap++, at += 4) {
        const weight = taps.weights[i * TAPS + tap];
        red += weight * pixels[at];
        green += weight * pixels[at + 1];
        blue += weight * pixels[at + 2];
        alpha += weight * pixels[at + 3];
      }
      out[to] = red;
      out[to + 1] = green;
      out[to + 2] = blue;
      out[to + 3] = alpha;
    }
  }
  return out;
}

function down(rows, width, height, taps, offset, count) {
  const out = new Float32Array(width * count * 4);
  const stride = width * 4;
  for (let i = 0; i < count; i++) {
    const from = taps.first[i] - offset;
    for (let tap = 0; tap < TAPS && from + tap < height; tap++) {
      const weight = taps.weights[i * TAPS + tap];
      if (weight === 0) continue;
      const source = (from + tap) * stride;
      for (let x = 0; x < stride; x++) out[i * stride + x] += weight * rows[source + x];
    }
  }
  return out;
}

function asBytes(pixels) {
  const out = new Uint8ClampedArray(pixels.length);
  for (let i = 0; i < pixels.length; i += 4) {
    const alpha = pixels[i + 3];
    const share = alpha > 254.5 || alpha <= 0 ? 1 : 255 / alpha;
    for (let c = 0; c < 3; c++) out[i + c] = pixels[i + c] * share;
    out[i + 3] = alpha;
  }
  return out;
}

// `part` {x, y, width, height} of a picture of `sizeIn` [width, height] enlarged to `sizeOut`. `source`: the RGBA bytes of
// the pixels that `needed` names, {data, x, y, width, height}.
export function enlarged(source, sizeIn, sizeOut, part) {
  const columns = tapsOf(part.x, part.width, sizeIn[0], sizeOut[0]);
  const lines = tapsOf(part.y, part.height, sizeIn[1], sizeOut[1]);
  const rows = across(premultiplied(source.data), source.width, source.height, columns, source.x, part.width);
  return asBytes(down(rows, part.width, source.height, lines, source.y, part.height));
}
