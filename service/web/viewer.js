// The comparison: one frame, a divider that is dragged by mouse, finger or keys, zoom and pan of both pictures in step.

import {Geometry} from "./geometry.js";
import {blended, Painter} from "./paint.js";

const REFINE_MS = 140;
const NEAR = 24; // pixels beside the divider that still take hold of it
const PAN = 80;

export class Viewer {
  // `root` holds the elements by data-part; `told(sentence)` speaks to screen readers.
  constructor(root, told) {
    this.parts = Object.fromEntries([...root.querySelectorAll("[data-part]")].map(part => [part.dataset.part, part]));
    this.told = told;
    this.painter = null;
    this.share = 0.5;
    this.strength = 1;
    this.pointers = new Map();
    this.listen();
  }

  // Shows `result` beside `original` (blobs; null: the original cannot be shown), at 1:1 where most detail is; one that is
  // smaller than a frame of fine pixels as large as on a screen of usual ones.
  async open(original, result, labels) {
    this.close();
    const [one, other] = await Promise.all([original && createImageBitmap(original).catch(() => null), createImageBitmap(result)]);
    this.painter = new Painter(this.parts.canvas, one, other);
    this.labels = labels;
    this.share = one ? 0.5 : 0;
    this.strength = 1;
    this.fitFrame();
    this.geometry = new Geometry(this.painter.size, this.frame);
    this.geometry.set(Math.max(1, Math.min(this.geometry.fit, this.density)));
    this.geometry.look(...this.painter.busiest(this.frame));
    this.parts.divider.hidden = this.parts.left.hidden = !one;
    this.draw();
  }

  close() {
    this.painter?.close();
    this.painter = null;
  }

  get isOpen() {
    return this.painter !== null;
  }

  // The result as it is looked at; null: as it came.
  blend() {
    return this.strength < 1 ? blended(this.painter, this.strength) : null;
  }

  mix(strength) {
    this.strength = strength;
    this.draw();
  }

  fitFrame() {
    const {canvas, frame} = this.parts;
    const density = window.devicePixelRatio || 1;
    this.frame = [frame.clientWidth, frame.clientHeight].map(side => Math.max(1, Math.round(side * density)));
    [canvas.width, canvas.height] = this.frame;
    this.density = density;
  }

  draw(quick = false) {
    if (!this.painter) return;
    this.parts.frame.dataset.drawn = "soon";
    cancelAnimationFrame(this.drawing);
    this.drawing = requestAnimationFrame(() => this.drawNow(quick));
    clearTimeout(this.refining);
    if (quick) this.refining = setTimeout(() => this.draw(), REFINE_MS);
  }

  drawNow(quick) {
    if (!this.painter) return;
    const style = getComputedStyle(this.parts.frame);
    const [backdrop, ...squares] = ["--backdrop", "--square", "--other-square"].map(name => style.getPropertyValue(name));
    const divider = this.painter.original ? Math.round(this.share * this.frame[0]) : 0;
    this.painter.draw(this.geometry, {divider, strength: this.strength, backdrop, squares, density: this.density, quick});
    this.label(divider);
    this.parts.frame.dataset.drawn = quick ? "roughly" : "whole";
  }

  label(divider) {
    const {divider: handle, zoom, left, right, canvas} = this.parts;
    const shown = `${Math.round(this.geometry.zoom * 100)} %`;
    const share = Math.round(this.share * 100);
    handle.style.left = `${divider / this.density}px`;
    handle.setAttribute("aria-valuenow", share);
    handle.setAttribute("aria-valuetext", `${share} % original, ${100 - share} % result`);
    zoom.textContent = shown;
    left.textContent = this.painter.isEnlarged(this.geometry.zoom) ? "Original, enlarged by bicubic" : "Original";
    right.textContent = this.labels.result;
    canvas.setAttribute("aria-label", `${this.labels.name} at ${shown}: left of the divider the original, right of it the result`);
  }

  // -- what moves it -------------------------------------------------------------------------------------------------

  listen() {
    const {frame, divider, fit, whole, larger, smaller} = this.parts;
    frame.addEventListener("pointerdown", event => this.press(event));
    frame.addEventListener("pointermove", event => this.move(event));
    for (const kind of ["pointerup", "pointercancel"]) frame.addEventListener(kind, event => this.release(event));
    frame.addEventListener("wheel", event => this.wheel(event), {passive: false});
    frame.addEventListener("dblclick", event => this.zoomTo(this.geometry.zoom === 1 ? this.geometry.fit : 1, this.placeOf(event)));
    frame.addEventListener("keydown", event => this.pressKey(event));
    divider.addEventListener("keydown", event => this.pressDivider(event));
    fit.addEventListener("click", () => this.zoomTo(this.geometry.fit));
    whole.addEventListener("click", () => this.zoomTo(1));
    larger.addEventListener("click", () => this.step(1));
    smaller.addEventListener("click", () => this.step(-1));
    new ResizeObserver(() => this.resized()).observe(frame);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  resized() {
    if (!this.painter || !this.parts.frame.clientWidth) return;
    this.fitFrame();
    this.geometry.resize(this.frame);
    this.drawNow(false);
  }

  zoomTo(zoom, place) {
    if (!this.painter) return;
    this.geometry.set(zoom, place);
    this.draw(true);
    this.told(`Zoom ${Math.round(this.geometry.zoom * 100)} %`);
  }

  step(direction, place) {
    if (!this.painter) return;
    this.geometry.step(direction, place);
    this.draw(true);
    this.told(`Zoom ${Math.round(this.geometry.zoom * 100)} %`);
  }

  divide(share) {
    this.share = Math.min(1, Math.max(0, share));
    this.draw();
  }

  placeOf(event) {
    const box = this.parts.frame.getBoundingClientRect();
    return [(event.clientX - box.left) * this.density, (event.clientY - box.top) * this.density];
  }

  press(event) {
    if (!this.painter || event.button > 0) return;
    const {frame, divider} = this.parts;
    const place = this.placeOf(event);
    const off = Math.abs(place[0] - this.share * this.frame[0]) / this.density;
    this.isDividing = !divider.hidden && this.pointers.size === 0 && (divider.contains(event.target) || off < NEAR / 2);
    this.pointers.set(event.pointerId, place);
    frame.setPointerCapture(event.pointerId);
    (this.isDividing ? divider : frame).focus({preventScroll: true});
    event.preventDefault();
  }

  move(event) {
    if (!this.painter || !this.pointers.has(event.pointerId)) return;
    const before = [...this.pointers.values()];
    const [was, place] = [this.pointers.get(event.pointerId), this.placeOf(event)];
    this.pointers.set(event.pointerId, place);
    if (this.isDividing) return this.divide(place[0] / this.frame[0]);
    if (before.length === 2) this.pinch(before, [...this.pointers.values()]);
    else this.geometry.pan(was[0] - place[0], was[1] - place[1]);
    return this.draw(true);
  }

  pinch(before, after) {
    const span = ([one, other]) => Math.hypot(one[0] - other[0], one[1] - other[1]);
    const middle = ([one, other]) => [(one[0] + other[0]) / 2, (one[1] + other[1]) / 2];
    const [from, to] = [middle(before), middle(after)];
    this.geometry.pan(from[0] - to[0], from[1] - to[1]);
    this.geometry.set((this.geometry.zoom * span(after)) / Math.max(1, span(before)), to);
  }

  release(event) {
    this.pointers.delete(event.pointerId);
    if (!this.pointers.size) this.isDividing = false;
  }

  wheel(event) {
    if (!this.painter) return;
    event.preventDefault();
    const lines = event.deltaMode === 1 ? 16 : 1;
    this.geometry.set(this.geometry.zoom * 2 ** ((-event.deltaY * lines) / 240), this.placeOf(event));
    this.draw(true);
  }

  pressKey(event) {
    if (!this.painter || event.ctrlKey || event.metaKey || event.altKey) return;
    const pan = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]}[event.key];
    const zoom = {"+": () => this.step(1), "=": () => this.step(1), "-": () => this.step(-1), 0: () => this.zoomTo(this.geometry.fit), 1: () => this.zoomTo(1)}[event.key];
    if (pan) this.geometry.pan(pan[0] * PAN * this.density, pan[1] * PAN * this.density);
    if (pan) this.draw(true);
    else if (zoom) zoom();
    else return;
    event.preventDefault();
  }

  pressDivider(event) {
    const step = event.shiftKey ? 0.1 : 0.01;
    const steps = {ArrowLeft: -step, ArrowDown: -step, ArrowRight: step, ArrowUp: step, PageDown: -0.1, PageUp: 0.1, Home: -1, End: 1};
    if (!(event.key in steps)) return;
    this.divide(this.share + steps[event.key]);
    event.preventDefault();
    event.stopPropagation();
  }
}
