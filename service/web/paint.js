// Draws the two pictures: left of the divider the original, enlarged by bicubic where it is smaller than what is shown,
// right of it the result (mixed with the original where its strength is less than 1).

import {enlarged, needed} from "./bicubic.js";
import {busiest, isTransparent, lumaOf} from "./detail.js";

const TILE = 256;
const MOST_TILES = 240;
const LOOKED_AT = 768; // pixels of the longer side in which detail and transparency are looked for
const SQUARE = 12; // pixels of the page a side

function canvasOf(width, height) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  return canvas;
}

// A bitmap's pixels, at most LOOKED_AT a side.
function sampleOf(bitmap) {
  const share = Math.min(1, LOOKED_AT / Math.max(bitmap.width, bitmap.height));
  const [width, height] = [bitmap.width, bitmap.height].map(side => Math.max(1, Math.round(side * share)));
  const context = canvasOf(width, height).getContext("2d", {willReadFrequently: true});
  context.drawImage(bitmap, 0, 0, width, height);
  return context.getImageData(0, 0, width, height);
}

// What is seen through a picture: squares of two colours.
function squaresOf(context, colours, side) {
  const tile = canvasOf(2 * side, 2 * side);
  const brush = tile.getContext("2d");
  for (const [at, colour] of [...colours, ...colours].entries()) {
    brush.fillStyle = colour;
    brush.fillRect(side * (at % 2 ^ (at >> 1)), side * (at >> 1), side, side);
  }
  return context.createPattern(tile, "repeat");
}

// A bitmap enlarged to `size` by bicubic, in tiles, each made when it is first seen.
class Enlargement {
  constructor(bitmap, size) {
    this.bitmap = bitmap;
    this.size = size;
    this.tiles = new Map();
  }

  // Draws the tiles that meet [left, top, right, bottom), in pixels of the enlarged picture.
  draw(context, [left, top, right, bottom]) {
    for (let y = Math.floor(top / TILE); y * TILE < bottom; y++) {
      for (let x = Math.floor(left / TILE); x * TILE < right; x++) context.drawImage(this.tile(x, y), x * TILE, y * TILE);
    }
  }

  tile(column, row) {
    const name = `${column},${row}`;
    if (!this.tiles.has(name)) {
      if (this.tiles.size >= MOST_TILES) this.tiles.delete(this.tiles.keys().next().value);
      this.tiles.set(name, this.make(column * TILE, row * TILE));
    }
    return this.tiles.get(name);
  }

  make(x, y) {
    const sizeIn = [this.bitmap.width, this.bitmap.height];
    const part = {x, y, width: Math.min(TILE, this.size[0] - x), height: Math.min(TILE, this.size[1] - y)};
    const [left, right] = needed(x, part.width, sizeIn[0], this.size[0]);
    const [top, bottom] = needed(y, part.height, sizeIn[1], this.size[1]);
    const source = canvasOf(right - left, bottom - top).getContext("2d", {willReadFrequently: true});
    source.drawImage(this.bitmap, -left, -top);
    const {data, width, height} = source.getImageData(0, 0, right - left, bottom - top);
    const pixels = enlarged({data, x: left, y: top, width, height}, sizeIn, this.size, part);
    const tile = canvasOf(part.width, part.height);
    tile.getContext("2d").putImageData(new ImageData(pixels, part.width, part.height), 0, 0);
    return tile;
  }
}

export class Painter {
  // `original`: a bitmap, or null where this browser cannot show it; `result`: a bitmap.
  constructor(canvas, original, result) {
    this.context = canvas.getContext("2d", {alpha: false});
    this.original = original;
    this.result = result;
    this.enlargement = null;
    this.layer = null;
    this.sample = sampleOf(result);
    this.isTransparent = isTransparent(this.sample.data) || (original !== null && isTransparent(sampleOf(original).data));
  }

  get size() {
    return [this.result.width, this.result.height];
  }

  // Whether the original has to be enlarged to stand beside the result at this zoom.
  isEnlarged(zoom) {
    return this.original !== null && this.gridOf(zoom)[0] > this.original.width;
  }

  // The pixels in which the enlarged original is computed: the result's, or the frame's where those are fewer.
  gridOf(zoom) {
    return this.size.map(side => Math.max(1, Math.round(side * Math.min(1, zoom))));
  }

  // `divider`: pixels from the left; `quick`: while something moves, an approximation that the browser draws. The ground is
  // `backdrop` and, behind what is transparent, squares of the colours `squares`; `density`: of the frame's pixels.
  draw(geometry, {divider, strength, quick, ...ground}) {
    const {context, original, result} = this;
    const [width] = geometry.frame;
    const isMixed = original !== null && strength < 1;
    const until = isMixed ? width : divider;
    this.drawGround(context, geometry, ground);
    if (original) this.within(0, until, geometry, () => this.drawOriginal(geometry, quick, [0, until]));
    this.within(divider, width, geometry, () => {
      if (!isMixed) return this.drawBitmap(context, result, geometry);
      context.globalAlpha = strength;
      return context.drawImage(this.onGround(result, geometry, ground), 0, 0);
    });
  }

  drawGround(context, {frame, corner, zoom}, {backdrop, squares, density}) {
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.fillStyle = backdrop;
    context.fillRect(0, 0, ...frame);
    if (this.isTransparent) {
      context.fillStyle = squaresOf(context, squares, Math.round(SQUARE * density));
      context.fillRect(...corner, this.size[0] * zoom, this.size[1] * zoom);
    }
  }

  // The whole frame with this bitmap alone. Two of these can be mixed: where one bitmap is drawn over the other, their
  // transparent pixels hide more than either does.
  onGround(bitmap, geometry, ground) {
    const [width, height] = geometry.frame;
    if (this.layer?.width !== width || this.layer.height !== height) this.layer = canvasOf(width, height);
    const context = this.layer.getContext("2d", {alpha: false});
    this.drawGround(context, geometry, ground);
    this.drawBitmap(context, bitmap, geometry);
    return this.layer;
  }

  within(left, right, geometry, act) {
    this.context.save();
    this.context.beginPath();
    this.context.rect(left, 0, right - left, geometry.frame[1]);
    this.context.clip();
    act();
    this.context.restore();
  }

  smooth(context, zoom) {
    context.imageSmoothingEnabled = zoom < 2 && zoom !== 1; // beyond that one wants to see pixels
    context.imageSmoothingQuality = "high";
  }

  drawBitmap(context, bitmap, {corner, zoom}) {
    this.smooth(context, zoom);
    context.drawImage(bitmap, ...corner, this.size[0] * zoom, this.size[1] * zoom);
  }

  drawOriginal(geometry, quick, [left, right]) {
    const {corner, zoom} = geometry;
    const grid = this.gridOf(zoom);
    const isCached = this.enlargement?.size.every((side, axis) => side === grid[axis]);
    if (!this.isEnlarged(zoom) || (quick && !isCached && zoom < 1)) return this.drawBitmap(this.context, this.original, geometry);
    if (!isCached) this.enlargement = new Enlargement(this.original, grid);
    const share = Math.max(1, zoom);
    this.smooth(this.context, share);
    this.context.setTransform(share, 0, 0, share, ...corner);
    const seen = (edge, axis) => Math.min(grid[axis], Math.max(0, (edge - corner[axis]) / share));
    return this.enlargement.draw(this.context, [seen(left, 0), seen(0, 1), seen(right, 0), seen(geometry.frame[1], 1)]);
  }

  // The centre of the window with most detail, [x, y] in the result's pixels.
  busiest(window) {
    const {data, width, height} = this.sample;
    const share = Math.min(1, LOOKED_AT / Math.max(...this.size));
    const [x, y] = busiest(lumaOf(data), [width, height], window.map(side => side * share));
    return [x * this.size[0], y * this.size[1]];
  }

  close() {
    this.original?.close();
    this.result.close();
  }
}

function pixelsOf(bitmap) {
  const context = canvasOf(bitmap.width, bitmap.height).getContext("2d", {willReadFrequently: true});
  context.drawImage(bitmap, 0, 0);
  return context.getImageData(0, 0, bitmap.width, bitmap.height);
}

// Colours are mixed, alpha is the result's: drawn over each other, two pictures would hide more than either.
function mixedThrough(original, result, strength) {
  const [from, to] = [pixelsOf(original).data, pixelsOf(result)];
  for (let i = 0; i < from.length; i++) if (i % 4 < 3) to.data[i] = from[i] + strength * (to.data[i] - from[i]);
  return to;
}

// The result at a strength below 1, as a PNG made here; both bitmaps are of one size.
export function blended({original, result, isTransparent}, strength) {
  const canvas = canvasOf(result.width, result.height);
  const context = canvas.getContext("2d");
  if (isTransparent) context.putImageData(mixedThrough(original, result, strength), 0, 0);
  else {
    context.drawImage(original, 0, 0);
    context.globalAlpha = strength;
    context.drawImage(result, 0, 0);
  }
  return new Promise(done => canvas.toBlob(done, "image/png"));
}
