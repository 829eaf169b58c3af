// What there is to know of a result, as [term, description] pairs.

import {bytes, seconds, size} from "./sentences.js";

const KIND = {noise: "noise", rain: "rain streaks", haze: "haze", jpeg: "JPEG blocks"};
const SURE = [[0.8, ""], [0.5, "probably "], [0.2, "perhaps "]]; // from how sure on it is said so

// What a restorer found, in words; `shares`: how sure it is of each kind, 0 to 1.
export function foundIn(shares) {
  const words = Object.entries(shares)
    .sort((one, other) => other[1] - one[1])
    .flatMap(([kind, share]) => SURE.filter(([least]) => share >= least).slice(0, 1).map(([, word]) => word + (KIND[kind] ?? kind)));
  return words.join(", ") || "nothing that spoils it";
}

const unbroken = (...parts) => parts.map(part => part.replaceAll(" ", "\u00a0")).join(", ");

export function factsOf(entry) {
  const facts = [];
  if (entry.width) facts.push(["Original", unbroken(size(entry.width, entry.height), bytes(entry.file.size))]);
  const {output, timings = {}} = entry;
  if (output) facts.push(["Result", unbroken(size(output.width, output.height), bytes(output.bytes), output.format.toUpperCase())]);
  facts.push(["Model", entry.model]);
  const computing = ["decode", "infer", "encode"].reduce((sum, stage) => sum + (timings[stage] ?? 0), 0);
  facts.push(["Time", computing ? `${seconds(computing)}, and ${seconds(timings.queue ?? 0)} waiting` : "none, it was made before"]);
  const {only} = entry.request.parameters;
  if (entry.found) facts.push(["Found", foundIn(entry.found)]);
  if (only) facts.push(["Taken off", `${KIND[only]} alone`]);
  return facts;
}
