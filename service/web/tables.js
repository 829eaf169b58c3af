// The table that the model made for a photo, as a .cube file: asked of the service, at the strength that is looked at.

import {newEntry, run} from "./job.js";
import {stemOf} from "./names.js";
import {save} from "./save.js";

// Raises the problem where the service has one.
export async function saveTable(entry, strength) {
  const {parameters, lut} = entry.request;
  const {preset, model} = parameters;
  const asked = {...(preset && {preset}), ...(model && {model}), ...(strength < 1 && {strength}), format: "cube"};
  const errand = newEntry(entry.name, entry.file, {});
  errand.request = {operation: "enhance", parameters: asked, lut};
  await run(errand, () => {});
  if (errand.problem) throw errand.problem;
  save(errand.result, `${stemOf(entry.name)}.cube`);
}
