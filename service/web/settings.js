// The form: what is asked for, as the service wants it, and back into the form what a button mends.

const byId = id => document.getElementById(id);
const plainNumber = text => text.trim().replace(",", ".");

export class Settings {
  // `changed()` is called whenever something else is asked for.
  constructor(changed) {
    this.form = byId("form");
    this.changed = changed;
    this.lut = null;
    this.models = [];
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
    if (this.form.elements.by.value === "scale") return {scale: plainNumber(byId("scale").value)};
    return {width: byId("width").value.trim(), height: byId("height").value.trim()};
  }

  // Sets {scale}, {width, height}, {model} or {lut}, as `sentences.mends` names them.
  apply(change) {
    if ("scale" in change) {
      this.form.elements.by.value = "scale";
      byId("scale").value = change.scale;
      byId("scale-slider").value = change.scale;
    }
    if ("width" in change) byId("width").value = change.width;
    if ("height" in change) byId("height").value = change.height;
    if ("model" in change) byId("model").value = change.model;
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
    this.show();
    this.changed();
  }

  show() {
    const {operation} = this;
    const isUpscale = operation === "upscale";
    const isByScale = this.form.elements.by.value === "scale";
    byId("upscale-settings").hidden = byId("fast-row").hidden = !isUpscale;
    byId("enhance-settings").hidden = operation !== "enhance";
    byId("live-hint").hidden = isUpscale;
    byId("scale-row").hidden = !isByScale;
    byId("size-row").hidden = isByScale;
    byId("lut-name").textContent = this.lut?.name ?? "";
    byId("drop-lut").hidden = !this.lut;
    byId("model").disabled = operation === "enhance" && this.lut !== null;
    if (this.listed !== operation) this.listModels();
    byId("scale-slider").max = this.maxScale;
  }

  // What the models of GET /models can do; an operation without one is not offered.
  serve(models) {
    this.models = models;
    for (const radio of this.form.elements.operation) {
      radio.disabled = !models.some(model => model.task === radio.value) && radio.value !== "enhance";
      radio.closest("label").hidden = radio.disabled;
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
