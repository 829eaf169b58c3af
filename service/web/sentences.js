// Numbers and problems as people read them, and what mends a problem.

import {scaleOf} from "./names.js";

const whole = new Intl.NumberFormat("en", {maximumFractionDigits: 0});
const short = new Intl.NumberFormat("en", {maximumSignificantDigits: 3});

export const count = number => whole.format(number);
export const size = (width, height) => `${count(width)} × ${count(height)}`;
export const megapixels = pixels => `${short.format(pixels / 1e6)} megapixels`;
export const percent = share => `${Math.floor(share * 100)} %`;

export function bytes(number) {
  const units = ["bytes", "kB", "MB", "GB"];
  const step = Math.min(3, Math.max(0, Math.floor(Math.log10(Math.max(1, number)) / 3)));
  return step ? `${short.format(number / 1000 ** step)} ${units[step]}` : `${count(number)} bytes`;
}

// Short times to a tenth, longer ones in minutes.
export function seconds(number) {
  if (number < 0.1) return "under 0.1 s";
  if (number < 10) return `${number.toFixed(1)} s`;
  if (number < 120) return `${Math.round(number)} s`;
  const minutes = Math.round(number / 60);
  return minutes < 120 ? `${minutes} minutes` : `${Math.round(minutes / 60)} hours`;
}

export const pictures = number => (number === 1 ? "1 picture" : `${count(number)} pictures`);

// The service's own sentence with thousands separated, sizes with a cross, scales as they are written here.
export function readable(text) {
  const told = text
    .replace(/(?<![\w.-])(\d+)x(\d+)(?![\w.])/g, (_, width, height) => size(Number(width), Number(height)))
    .replace(/(?<![\w.,-])\d{4,}(?![\w,]|\.\d)/g, number => count(Number(number)))
    .replace(/\bscale (\d+(?:\.\d+)?)/g, "×$1")
    .replace(/^([\w-]+) would take/, "The model $1 would take")
    .replace(/ for auto\b/, "")
    .replaceAll("_", " ");
  const sentence = told.charAt(0).toUpperCase() + told.slice(1);
  return /[.!?]$/.test(sentence) ? sentence : `${sentence}.`;
}

const floored = scale => Math.floor(scale * 100 + 1e-9) / 100;

// The largest scale at which a picture of so many pixels stays within `limit`; null where none does.
function scaleWithin(limit, picture) {
  if (!limit || !picture?.width) return null;
  const scale = floored(Math.sqrt(limit / (picture.width * picture.height)));
  return scale > 1 ? scale : null;
}

function sizeMends(problem, request, picture) {
  const {largest_scale: largest, limit, maximum, minimum, parameter} = problem.body;
  if (request.operation !== "upscale") return [];
  if (parameter === "width" && minimum) return [{label: `Use width ${count(minimum)}`, change: {width: minimum, height: ""}}];
  if (parameter === "height" && minimum) return [{label: `Use height ${count(minimum)}`, change: {width: "", height: minimum}}];
  const best = largest ?? (problem.code === "too-many-pixels" ? scaleWithin(limit, picture) : maximum);
  const asked = scaleOf(request.parameters);
  const scale = asked !== null && minimum > asked ? minimum : best;
  return scale > 1 ? [{label: `Use ×${scale}`, change: {scale}}] : [];
}

// Whether the same request may fare better another time.
export const isTemporary = ({status}) => !status || status >= 500 || [404, 408, 409, 410, 429].includes(status);

// Buttons that mend: {label, change} with what to set, or {label, again: true} to send it once more.
export function mends(problem, request, picture) {
  const {faster_models: faster = [], parameter} = problem.body;
  if (problem.code === "unknown-model" || parameter === "model") return [{label: "Use the automatic choice", change: {model: ""}}];
  if (parameter === "only" && request.parameters.only) return [{label: "Take off whatever is found", change: {only: "", model: ""}}];
  if (parameter === "only") return [{label: "Use the automatic choice", change: {model: ""}}]; // it was the preset's
  if (parameter === "lut") return [{label: "Leave the table out", change: {lut: null}}];
  const found = sizeMends(problem, request, picture);
  for (const model of faster.slice(0, 2)) found.push({label: `Use ${model}`, change: {model}});
  return isTemporary(problem) ? [...found, {label: "Send it again", again: true}] : found;
}

const TITLES = {
  "bad-parameter": "That setting cannot be used",
  "upload-too-large": "The file is too large",
  "too-many-pixels": "That is too much for this service",
  "job-gone": "The result is no longer here",
  "job-unknown": "The service does not know this job",
};

// {title, text} of anything that went wrong.
export function toldOf(problem) {
  if (problem.name === "Lost" || !problem.body) return {title: "That did not work", text: readable(problem.message)};
  const title = TITLES[problem.code] ?? problem.body.title ?? "That did not work";
  if (problem.code === "upload-too-large" && problem.body.limit) {
    return {title, text: `At most ${bytes(problem.body.limit)} are taken.`};
  }
  return {title, text: readable(problem.body.detail ?? `The service answered ${problem.status}.`)};
}
