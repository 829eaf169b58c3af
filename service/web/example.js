// The example: a drawn otter, spoilt where the operation is to mend it. The noise is the same each time, so that a stored
// result answers whoever tries it next.

import {address} from "./api.js";

const NOISE = 20; // standard deviation, in levels
const FADED = [0.55, 15]; // what is left of a level, and what is added

// Levels of about a normal distribution (the sum of four even ones), by Marsaglia's xorshift.
function* noise() {
  let state = 2463534242;
  const even = () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32 - 0.5;
  };
  for (;;) yield (even() + even() + even() + even()) * Math.sqrt(3) * NOISE;
}

function makeNoisy(levels) {
  const each = noise();
  for (let i = 0; i < levels.length; i++) if (i % 4 < 3) levels[i] += each.next().value;
}

function fade(levels) {
  for (let i = 0; i < levels.length; i++) if (i % 4 < 3) levels[i] = levels[i] * FADED[0] + FADED[1];
}

const SPOILT = {restore: ["otter-noisy.png", makeNoisy], enhance: ["otter-faded.png", fade]};

// As a file, for an operation.
export async function exampleFor(operation) {
  const drawn = await (await fetch(address("web/example.png"))).blob();
  if (!(operation in SPOILT)) return new File([drawn], "otter.png", {type: "image/png"});
  const [name, spoil] = SPOILT[operation];
  const bitmap = await createImageBitmap(drawn);
  const canvas = Object.assign(document.createElement("canvas"), {width: bitmap.width, height: bitmap.height});
  const context = canvas.getContext("2d");
  context.drawImage(bitmap, 0, 0);
  const pixels = context.getImageData(0, 0, canvas.width, canvas.height);
  spoil(pixels.data);
  context.putImageData(pixels, 0, 0);
  const blob = await new Promise(done => canvas.toBlob(done, "image/png"));
  return new File([blob], name, {type: "image/png"});
}
