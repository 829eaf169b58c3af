// Below the settings: what the button would come to, or why it cannot be, with buttons that mend.

import {estimate, summary} from "./estimates.js";
import {make} from "./list.js";
import {mends, toldOf} from "./sentences.js";

const QUIET_MS = 250; // after the last change
const MOST = 20; // photos of which one is asked
const byId = id => document.getElementById(id);

export class EstimatePanel {
  // `targets()`: the entries that would be sent; `requestOf(entry)`; `apply(change)` mends the form.
  constructor(targets, requestOf, apply) {
    Object.assign(this, {targets, requestOf, apply, turn: 0});
  }

  ask() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.askNow(), QUIET_MS);
  }

  async askNow() {
    const turn = ++this.turn;
    const entries = this.targets().slice(0, MOST);
    const answers = await Promise.all(entries.map(entry => estimate(this.requestOf(entry), entry)));
    if (turn !== this.turn) return;
    const refused = answers.findIndex(answer => answer?.status === 422);
    if (refused >= 0) this.showProblem(entries[refused], answers[refused]);
    else this.show(answers.filter(answer => answer && !(answer instanceof Error)), entries);
  }

  show(answers, entries) {
    const lines = entries.length ? summary(answers, this.requestOf(entries[0])) : [];
    if (entries.length && !lines.length) lines.push("The size is known once it has been sent.");
    if (!entries.length && !byId("list").childElementCount) return this.invite();
    this.fill(lines.map(text => make("p", {textContent: text})), []);
    return byId("estimate").classList.remove("refused");
  }

  invite() {
    this.fill([make("p", {className: "hint", textContent: "With a photo there, this says how large it gets and how long that takes."})], []);
  }

  showProblem(entry, problem) {
    const {title, text} = toldOf(problem);
    const offered = mends(problem, this.requestOf(entry), entry).filter(mend => mend.change);
    const buttons = offered.map(({label, change}) => {
      const button = make("button", {type: "button", textContent: label});
      button.addEventListener("click", () => this.apply(change));
      return button;
    });
    this.fill([make("p", {}, make("b", {textContent: title})), make("p", {textContent: text})], buttons);
    byId("estimate").classList.add("refused");
  }

  fill(lines, buttons) {
    byId("estimate").replaceChildren(...lines);
    byId("estimate-mends").hidden = !buttons.length;
    byId("estimate-mends").replaceChildren(...buttons);
  }
}
