// The form: what is asked for, as the service wants it, and back into the form what a button mends.

import {Presets} from "./presets.js";

const byId = id => document.getElementById(id);
const plainNumber = text => text.trim().replace(",", ".");

export class Settings {
  // `changed()` is called whenever something else is asked for.
  constructor(changed) {
    this.form = byId("form");
    this.changed = changed;
    this.lut = null;
    this.models = [];
    this.presets = new Presets();
    this.form.addEventListener("input", event => this.take(event.target));
    byId("choose-lut").addEventListener("click", () => byId("lut").click());
    byId("drop-lut").addEventListener("click", () => this.useTable(null));
    byId("lut").addEventListener("change", () => {
      this.useTable(byId("lut").files[0] ?? null);
      byId("lut").value = "";
    });
    this.show();
  }

  get operation() {
    return this.form.elements.operation.value;
  }

  // {operation, parameters, lut}: only what differs from what the service does anyway.
  get request() {
    const {operation} = this;
    const asked = operation === "upscale" ? this.sizeAsked() : {};
    const lut = operation === "enhance" ? this.lut : null;
    const more = {
      preset: lut ? "" : this.presets.name,
      only: operation === "restore" ? byId("only").value : "",
      model: lut ? "" : byId("model").value,
      effort: operation === "upscale" && byId("fast").checked ? "fast" : "",
      format: byId("format").value,
      quality: byId("quality").value.trim(),
      metadata: byId("strip").checked ? "strip" : "",
    };
    const parameters = Object.fromEntries(Object.entries({...asked, ...more}).filter(([, value]) => value !== ""));
    return {operation, parameters, lut};
  }

  sizeAsked() {
    const by = this.form.elements.by.value;
    if (by === "preset") return {};
    if (by === "scale") return {scale: plainNumber(byId("scale").value)};
    return {width: byId("width").value.trim(), height: byId("height").value.trim()};
  }

  // Sets {operation}, {scale}, {width, height}, {model}, {only} or {lut}, as `sentences.mends` names them.
  apply(change) {
    if ("operation" in change) this.form.elements.operation.value = change.operation;
    if ("scale" in change) {
      this.form.elements.by.value = "scale";
      byId("scale").value = change.scale;
      byId("scale-slider").value = change.scale;
    }
    if ("width" in change) this.form.elements.by.value = "size";
    if ("width" in change) byId("width").value = change.width;
    if ("height" in change) byId("height").value = change.height;
    for (const name of ["model", "only"]) if (name in change) byId(name).value = change[name];
    if ("lut" in change) this.lut = change.lut;
    this.show();
    this.changed();
  }

  useTable(file) {
    this.lut = file;
    if (file) this.form.elements.operation.value = "enhance";
    this.show();
    this.changed();
  }

  take(element) {
    if (element.id === "scale-slider") byId("scale").value = element.value;
    if (element.id === "scale") byId("scale-slider").value = Number(plainNumber(element.value)) || 2;
    if (element.id === "preset" && this.presets.hasSize) this.form.elements.by.value = "preset";
    this.show();
    this.changed();
  }

  show() {
    const {operation} = this;
    this.showPreset();
    const isUpscale = operation === "upscale";
    const by = this.form.elements.by.value;
    byId("upscale-settings").hidden = byId("fast-row").hidden = !isUpscale;
    byId("restore-settings").hidden = operation !== "restore";
    byId("enhance-settings").hidden = operation !== "enhance";
    byId("live-hint").hidden = isUpscale;
    byId("scale-row").hidden = by !== "scale";
    byId("size-row").hidden = by !== "size";
    byId("lut-name").textContent = this.lut?.name ?? "";
    byId("drop-lut").hidden = !this.lut;
    byId("model").disabled = operation === "enhance" && this.lut !== null;
    if (this.listed !== operation) this.listModels();
    if (operation === "restore") this.showKinds();
    byId("scale-slider").max = this.maxScale;
  }

  // One kind of damage alone is offered where the restorer that is asked for, or any of them, tells it apart.
  showKinds() {
    const named = byId("model").value || this.presets.parameters.model || "auto";
    const asked = this.models.filter(model => model.task === "restore" && (named === "auto" || model.name === named));
    const kinds = asked.flatMap(model => model.kinds);
    for (const option of byId("only").options) option.hidden = option.disabled = option.value !== "" && !kinds.includes(option.value);
    if (byId("only").selectedOptions[0].disabled) byId("only").value = "";
    byId("only").disabled = !kinds.length;
    byId("only-hint").hidden = !asked.length || kinds.length > 0;
  }

  showPreset() {
    const {presets, form} = this;
    presets.show(this.operation);
    byId("preset").disabled = this.lut !== null && this.operation === "enhance"; // a table stands in place of its model
    byId("preset-hint").textContent = presets.told;
    byId("by-preset").hidden = !presets.hasSize;
    if (!presets.hasSize && form.elements.by.value === "preset") form.elements.by.value = "scale";
  }

  // What the models of GET /models can do; an operation without one is not offered. `presets`: of GET /presets.
  serve(models, presets) {
    this.models = models;
    this.presets.serve(presets);
    for (const radio of this.form.elements.operation) {
      radio.disabled = !models.some(model => model.task === radio.value) && radio.value !== "enhance";
      radio.closest("label").hidden = document.querySelector(`[data-example=${radio.value}]`).hidden = radio.disabled;
    }
    this.listModels();
    this.show();
  }

  listModels() {
    const {operation} = this;
    const options = this.models.filter(model => model.task === operation).map(model => new Option(`${model.name}: ${model.title}`, model.name));
    byId("model").replaceChildren(new Option("Automatic choice", ""), ...options);
    this.listed = operation;
  }

  // The largest scale of the model that is chosen, or of any.
  get maxScale() {
    const named = byId("model").value;
    const models = this.models.filter(model => model.task === "upscale" && (!named || model.name === named));
    return models.length ? Math.max(...models.map(model => model.max_scale)) : 8;
  }
}
