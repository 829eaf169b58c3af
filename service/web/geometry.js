// What is looked at, and how large: one zoom and one centre for both pictures. Arithmetic alone; the document is not
// known here. Lengths of the frame are in its own pixels (those of the screen), those of the picture in the result's.

export const MOST = 8;
const STOPS = [0.0625, 0.125, 0.25, 0.5, 1, 2, 4, 8];

export class Geometry {
  constructor(picture, frame) {
    this.picture = picture; // [width, height]
    this.frame = frame;
    this.centre = [picture[0] / 2, picture[1] / 2];
    this.zoom = this.fit;
  }

  get fit() {
    return Math.min(this.frame[0] / this.picture[0], this.frame[1] / this.picture[1], MOST);
  }

  get least() {
    return Math.min(this.fit, 1);
  }

  // Where the picture's left and top are in the frame; whole pixels, so that 1:1 is pixel for pixel.
  get corner() {
    return [0, 1].map(axis => Math.round(this.frame[axis] / 2 - this.centre[axis] * this.zoom));
  }

  resize(frame) {
    const wasFit = this.zoom === this.fit;
    this.frame = frame;
    this.set(wasFit ? this.fit : this.zoom);
  }

  pan(right, down) {
    this.centre = [this.centre[0] + right / this.zoom, this.centre[1] + down / this.zoom];
    this.clamp();
  }

  look(x, y) {
    this.centre = [x, y];
    this.clamp();
  }

  // A new zoom, by which the point of the picture that is at `place` of the frame stays where it is.
  set(zoom, place = [this.frame[0] / 2, this.frame[1] / 2]) {
    const next = Math.min(MOST, Math.max(this.least, zoom));
    for (const axis of [0, 1]) {
      const off = place[axis] - this.frame[axis] / 2;
      this.centre[axis] += off / this.zoom - off / next;
    }
    this.zoom = next;
    this.clamp();
  }

  // The next of the usual zooms, up (1) or down (-1); the one that fits is among them.
  step(direction, place) {
    const stops = [...STOPS, this.fit].filter(stop => stop >= this.least && stop <= MOST).sort((a, b) => a - b);
    const beyond = stops.filter(stop => (stop - this.zoom) * direction > 1e-9);
    if (beyond.length) this.set(direction > 0 ? beyond[0] : beyond.at(-1), place);
  }

  // A picture that is larger than the frame fills it; one that is smaller lies in its middle.
  clamp() {
    for (const axis of [0, 1]) {
      const half = this.frame[axis] / 2 / this.zoom;
      const size = this.picture[axis];
      this.centre[axis] = half * 2 >= size ? size / 2 : Math.min(size - half, Math.max(half, this.centre[axis]));
    }
  }
}
