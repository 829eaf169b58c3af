// The photo that is selected, as far as it is: chosen, on its way, done (in the viewer), or in trouble.

import {factsOf} from "./facts.js";
import {ACTIVE} from "./job.js";
import {make} from "./list.js";
import {isShown} from "./pictures.js";
import {progressOf} from "./progress.js";
import {mends, percent, toldOf} from "./sentences.js";
import {Viewer} from "./viewer.js";

const byId = id => document.getElementById(id);

// What stands in place of a photo that cannot be shown.
function withoutLook({name, file, format}) {
  if (!file) return name;
  if (!file.size) return `${name} is empty`;
  return format ? `${name}: this browser cannot show it, the service may` : `${name}: of no format that is known here`;
}

export class Stage {
  // `acts`: {mend, cancel} of an entry; `told(sentence)` speaks to screen readers.
  constructor(acts, told) {
    this.acts = acts;
    this.viewer = new Viewer(byId("viewer"), told);
    this.entry = null;
    this.seen = null; // the result that the viewer shows
    byId("cancel").addEventListener("click", () => acts.cancel(this.entry));
    byId("strength").addEventListener("input", () => this.mix());
  }

  render(entry) {
    this.entry = entry;
    const isDone = entry?.phase === "succeeded";
    byId("stage").dataset.shows = entry ? entry.phase : "empty";
    byId("empty").hidden = entry !== null;
    byId("preview").hidden = entry === null || isDone;
    byId("outcome").hidden = !isDone;
    if (!isDone) this.closeViewer();
    if (isDone) this.renderResult();
    else if (entry) this.renderPreview();
  }

  // On a phone the button and the list are far below it.
  bringIntoSight() {
    const {top, bottom} = byId("stage").getBoundingClientRect();
    if (bottom < innerHeight / 2 || top > innerHeight / 2) byId("stage").scrollIntoView();
  }

  renderPreview() {
    const {entry} = this;
    const image = byId("preview-image");
    image.hidden = !entry.url;
    if (entry.url && image.getAttribute("src") !== entry.url) image.src = entry.url;
    image.alt = entry.name;
    byId("preview-none").hidden = Boolean(entry.url);
    byId("preview-none").textContent = withoutLook(entry);
    this.renderProgress();
    this.renderTrouble();
  }

  renderProgress() {
    const isActive = ACTIVE.has(this.entry.phase);
    byId("running").hidden = !isActive;
    if (!isActive) return;
    const {text, share} = progressOf(this.entry);
    byId("running-text").textContent = text;
    if (share === null) byId("progress").removeAttribute("value");
    else byId("progress").value = share;
  }

  renderTrouble() {
    const {entry} = this;
    const isCancelled = entry.phase === "cancelled";
    byId("trouble").hidden = entry.phase !== "failed" && !isCancelled;
    const shown = entry.phase === "failed" ? entry.problem : isCancelled;
    if (this.trouble === shown && this.troubled === entry) return; // nothing is read out twice
    [this.trouble, this.troubled] = [shown, entry];
    if (byId("trouble").hidden) return;
    const {title, text} = isCancelled ? {title: "Cancelled", text: "Nothing more is computed for this photo."} : toldOf(entry.problem);
    byId("trouble-title").textContent = title;
    byId("trouble-text").textContent = text;
    const offered = isCancelled ? [{label: "Send it again", again: true}] : mends(entry.problem, entry.request, entry);
    const usable = offered.filter(() => entry.file);
    byId("trouble-mends").replaceChildren(...usable.map(mend => this.mendButton(mend)));
  }

  mendButton(mend) {
    const button = make("button", {type: "button", className: "primary", textContent: mend.label});
    button.addEventListener("click", () => this.acts.mend(this.entry, mend));
    return button;
  }

  // -- a result ------------------------------------------------------------------------------------------------------

  renderResult() {
    const {entry} = this;
    if (this.seen === entry.result) return;
    this.seen = entry.result;
    byId("facts").replaceChildren(...factsOf(entry).map(([term, told]) => make("div", {}, make("dt", {textContent: term}), make("dd", {textContent: told}))));
    byId("save-cube").hidden = entry.request.operation !== "enhance" || !entry.file;
    byId("viewer").hidden = false;
    this.openViewer();
  }

  async openViewer() {
    const {entry} = this;
    const original = entry.file && isShown(entry.format) ? entry.file : null;
    const labels = {name: entry.name, result: `Result, ${entry.model}`};
    const failure = await this.viewer.open(original, entry.result, labels).then(() => null, error => error);
    if (this.seen !== entry.result) return;
    byId("viewer").hidden = failure !== null;
    byId("unseen").hidden = failure === null && original !== null;
    byId("unseen").textContent = failure
      ? "This browser cannot show the result. It can be saved."
      : "The original is not in this browser, so the result stands alone.";
    byId("strength-row").hidden = failure !== null || !this.canMix();
    byId("strength").value = 100;
    this.mix();
  }

  // Strength is a mix of two pictures of one size, so it is made here, while one looks; unless a preset has set it.
  canMix() {
    const {original, size} = this.viewer.painter ?? {};
    return Boolean(original) && this.entry.strength === 1 && this.entry.request.operation !== "upscale" && original.width === size[0] && original.height === size[1];
  }

  get strength() {
    return byId("strength-row").hidden ? 1 : byId("strength").value / 100;
  }

  mix() {
    const told = percent(this.strength);
    byId("strength-told").textContent = told;
    byId("strength").setAttribute("aria-valuetext", told);
    byId("mixed").hidden = this.strength === 1;
    this.viewer.mix(this.strength);
  }

  // The result as it is looked at.
  async blob() {
    return (await this.viewer.blend()) ?? this.entry.result;
  }

  closeViewer() {
    if (this.seen === null) return;
    this.seen = null;
    this.viewer.close();
    byId("viewer").hidden = byId("unseen").hidden = byId("strength-row").hidden = byId("mixed").hidden = true;
  }
}
