// The presets of the service, as the form offers them: of the operation that is asked for, with what they say.

const byId = id => document.getElementById(id);
const SIZES = ["scale", "width", "height", "max_pixels"];
const inWords = ([name, value]) => `${name.replaceAll("_", " ")} ${value}`;

export class Presets {
  constructor() {
    this.all = [];
  }

  // As GET /presets lists them.
  serve(presets) {
    this.all = presets;
    this.listed = null;
  }

  // Shows those of an operation; the choice stays where it is among them.
  show(operation) {
    if (this.listed === operation) return;
    this.listed = operation;
    const names = this.all.filter(preset => operation in preset.operations).map(preset => preset.name);
    const kept = names.includes(this.name) ? this.name : "";
    byId("preset").replaceChildren(new Option("None", ""), ...names.map(name => new Option(name, name)));
    byId("preset").value = kept;
    byId("preset-settings").hidden = !names.length;
  }

  get name() {
    return byId("preset").value;
  }

  get parameters() {
    return this.all.find(preset => preset.name === this.name)?.operations[this.listed] ?? {};
  }

  // Whether it says how large.
  get hasSize() {
    return SIZES.some(name => name in this.parameters);
  }

  get told() {
    const words = Object.entries(this.parameters).map(inWords).join(", ");
    return words && `${words}. What is set here counts before it.`;
  }
}
