// What a request would come to, asked of the service before anything is sent: model, size, seconds, or its problem.

import {askJson, Problem} from "./api.js";
import {count, megapixels, pictures, seconds, size} from "./sentences.js";

const FRESH_MS = 8000;
const known = new Map();

// As GET /OPERATION/estimate answers; a Problem where it would be refused; null where it cannot be told.
export async function estimate(request, picture) {
  if (!picture.width) return null;
  const of = {of_width: picture.width, of_height: picture.height, of_format: picture.format || "png"};
  const path = `${request.operation}/estimate?${new URLSearchParams({...request.parameters, ...of})}`;
  const last = known.get(path);
  if (last && Date.now() - last.at < FRESH_MS) return last.answer;
  const answer = await askJson(path).catch(error => error);
  if (!(answer instanceof Error) || (answer instanceof Problem && answer.status === 422)) known.set(path, {at: Date.now(), answer});
  return answer;
}

// The sentences under the settings; `told`: estimates that are no problems, one for each picture.
export function summary(told, request) {
  if (!told.length) return [];
  const [first] = told;
  const wait = Math.max(...told.map(one => one.wait_s ?? 0));
  const lines = [];
  if (told.length === 1) {
    lines.push(`${size(first.width, first.height)} pixels`);
  } else {
    lines.push(`${pictures(told.length)}, ${megapixels(told.reduce((sum, one) => sum + one.width * one.height, 0))} in all`);
  }
  const computing = told.reduce((sum, one) => sum + one.seconds, 0);
  if (!request.lut) lines.push(`${about(computing)} with ${modelsOf(told)}`);
  if (wait > 1) lines.push(`${count(first.queued ?? 0)} waiting before: about ${seconds(wait)} more`);
  return lines;
}

const about = number => (number < 0.1 ? "Under 0.1 s" : `About ${seconds(number)}`);
const modelsOf = told => [...new Set(told.map(one => one.model))].join(", ");
