// What was done earlier in this browser, to be looked at again while the service still has it.

import {make, thumb} from "./list.js";
import * as past from "./past.js";
import {scaleOf} from "./names.js";

const when = new Intl.DateTimeFormat("en", {dateStyle: "medium", timeStyle: "short"});
const SHOWN = 12;
const byId = id => document.getElementById(id);

function didOf({operation, parameters}) {
  const scale = scaleOf(parameters);
  if (operation === "upscale") return scale ? `Upscaled ×${scale}` : "Upscaled";
  return operation === "restore" ? "Restored" : "Enhanced";
}

// `open(record)` shows one again; `present`: the jobs that are on the page anyway.
export async function renderPast(open, present) {
  const records = (await past.all()).filter(record => !present.has(record.job)).slice(0, SHOWN);
  byId("past").hidden = !records.length;
  byId("past-list").replaceChildren(...records.map(record => itemOf(record, open)));
}

function itemOf(record, open) {
  const told = make("span", {}, make("b", {textContent: record.name, title: record.name}), make("small", {textContent: `${didOf(record.request)}, ${when.format(record.at)}`}));
  const button = make("button", {type: "button", className: "open"}, thumb(record.thumb), told);
  button.addEventListener("click", () => open(record));
  return make("li", {}, button);
}
