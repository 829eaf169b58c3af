// What a result is saved as: NAME-x3.7.png, NAME-3000x2000.png, NAME-enhanced.jpg.

const ENDING = {jpeg: "jpg", tiff: "tif"};
const DONE = {enhance: "enhanced", restore: "restored", upscale: "upscaled"};

export const stemOf = name => name.replace(/\.[A-Za-z0-9]{1,5}$/, "") || "picture";

// 3.7, "3.7" and "37/10" are one scale; null where the size was asked for in another way.
export function scaleOf(parameters) {
  const [over, under = "1"] = String(parameters.scale ?? "").split("/");
  const scale = Number(over) / Number(under);
  return over && Number.isFinite(scale) ? Number(scale.toFixed(4)) : null;
}

// `output`: {format, width, height}, null before it is known; `strength`: 0 to 1, as it was blended here.
export function resultName(name, request, output, strength = 1) {
  const scale = scaleOf(request.parameters);
  let told = DONE[request.operation] ?? request.operation;
  if (request.operation === "upscale") told = scale ? `x${scale}` : output ? `${output.width}x${output.height}` : told;
  if (strength < 1) told += `-${Math.round(strength * 100)}`;
  const format = strength < 1 ? "png" : output?.format ?? request.parameters.format ?? formatOf(name);
  return `${stemOf(name)}-${told}.${ENDING[format] ?? format}`;
}

function formatOf(name) {
  const ending = name.split(".").pop().toLowerCase();
  return ["png", "webp", "avif", "tif", "tiff"].includes(ending) ? ending : ending === "bmp" || ending === "gif" ? "png" : "jpg";
}
