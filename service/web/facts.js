// What there is to know of a result, as [term, description] pairs.

import {bytes, seconds, size} from "./sentences.js";

const FOUND = {noise: "noise", rain: "rain", haze: "haze", jpeg: "JPEG blocks"};

function found(shares) {
  const likely = Object.entries(shares).filter(([, share]) => share >= 0.1).sort((one, other) => other[1] - one[1]);
  return likely.map(([kind, share]) => `${FOUND[kind] ?? kind} ${Math.round(share * 100)} %`).join(", ") || "nothing";
}

export function factsOf(entry) {
  const facts = [];
  if (entry.width) facts.push(["Original", `${size(entry.width, entry.height)}, ${bytes(entry.file.size)}`]);
  const {output, timings = {}} = entry;
  if (output) facts.push(["Result", `${size(output.width, output.height)}, ${bytes(output.bytes)}, ${output.format.toUpperCase()}`]);
  facts.push(["Model", entry.model]);
  const computing = ["decode", "infer", "encode"].reduce((sum, stage) => sum + (timings[stage] ?? 0), 0);
  facts.push(["Time", computing ? `${seconds(computing)}, and ${seconds(timings.queue ?? 0)} waiting` : "stored from before"]);
  if (entry.found) facts.push(["Found", found(entry.found)]);
  return facts;
}
