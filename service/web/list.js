// The chosen photos as a list: each with a small picture, what became of it, and what can be done with it.

import {ACTIVE} from "./job.js";
import {progressOf} from "./progress.js";
import {bytes, size} from "./sentences.js";

export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

// A small picture of a blob; its address is given back when the picture is there.
export function thumb(blob) {
  const image = make("img", {alt: "", width: 48, height: 48, className: "thumb"});
  if (!blob) return make("span", {className: "thumb"});
  image.src = URL.createObjectURL(blob);
  image.onload = image.onerror = () => URL.revokeObjectURL(image.src);
  return image;
}

function stateOf(entry) {
  if (entry.phase === "chosen" && entry.file?.size === 0) return "Empty";
  if (entry.phase === "chosen") return entry.width ? `${size(entry.width, entry.height)}, ${bytes(entry.file.size)}` : "Ready to send";
  if (entry.phase === "succeeded") return entry.output?.width ? `Done, ${size(entry.output.width, entry.output.height)}` : "Done";
  if (entry.phase === "failed") return "Not done";
  if (entry.phase === "cancelled") return "Cancelled";
  const {text, brief = text} = progressOf(entry);
  return brief;
}

export class List {
  // `acts`: {select, cancel, remove, save}, each of an entry.
  constructor(element, acts) {
    this.element = element;
    this.acts = acts;
    this.rows = new Map();
  }

  render(entries, selected) {
    for (const [entry, row] of this.rows) {
      if (entries.includes(entry)) continue;
      row.item.remove();
      this.rows.delete(entry);
    }
    for (const entry of entries) {
      if (!this.rows.has(entry)) this.add(entry);
      this.update(this.rows.get(entry), entry, entry === selected);
    }
  }

  add(entry) {
    const state = make("small");
    const open = make("button", {type: "button", className: "open"}, thumb(entry.thumb), make("span", {}, make("b", {textContent: entry.name, title: entry.name}), state));
    const act = make("button", {type: "button", className: "quiet"});
    const remove = make("button", {type: "button", className: "quiet", textContent: "×"});
    remove.dataset.act = "remove";
    remove.setAttribute("aria-label", `Remove ${entry.name}`);
    open.addEventListener("click", () => this.acts.select(entry));
    act.addEventListener("click", () => (ACTIVE.has(entry.phase) ? this.acts.cancel(entry) : this.acts.save(entry)));
    remove.addEventListener("click", () => this.acts.remove(entry));
    const bar = make("progress", {max: 1});
    bar.setAttribute("aria-label", `Progress of ${entry.name}`);
    const item = make("li", {}, open, bar, make("span", {className: "acts"}, act, remove));
    this.element.append(item);
    this.rows.set(entry, {item, open, state, act, remove, bar});
  }

  update(row, entry, isSelected) {
    const isActive = ACTIVE.has(entry.phase);
    row.state.textContent = stateOf(entry);
    row.item.dataset.phase = entry.phase;
    row.open.setAttribute("aria-pressed", isSelected);
    row.bar.hidden = !isActive;
    row.bar.value = progressOf(entry).share ?? 0;
    row.act.hidden = !isActive && entry.phase !== "succeeded";
    row.act.textContent = isActive ? "Cancel" : "Save";
    row.act.setAttribute("aria-label", `${row.act.textContent} ${entry.name}`);
    row.remove.hidden = isActive;
  }
}
