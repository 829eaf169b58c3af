// A chosen file: its format by its first bytes, its size where this browser can show it, a small picture of it.

import {sizeOf} from "./headers.js";

const SHOWN = new Set(["jpeg", "png", "webp", "avif", "gif", "bmp"]);
const THUMB = 96;

export const isShown = format => SHOWN.has(format);

const startsWith = (bytes, ...wanted) => wanted.every((byte, at) => bytes[at] === byte);
const text = (bytes, from, to) => String.fromCharCode(...bytes.slice(from, to));

// As the service tells them: by magic bytes, never by name. "" is none that we know.
export function formatOf(bytes) {
  if (startsWith(bytes, 0xff, 0xd8, 0xff)) return "jpeg";
  if (startsWith(bytes, 0x89, 0x50, 0x4e, 0x47)) return "png";
  if (text(bytes, 0, 4) === "GIF8") return "gif";
  if (text(bytes, 0, 4) === "RIFF" && text(bytes, 8, 12) === "WEBP") return "webp";
  if (text(bytes, 0, 2) === "BM") return "bmp";
  if (["II*\0", "MM\0*", "II+\0", "MM\0+"].includes(text(bytes, 0, 4))) return "tiff";
  if (text(bytes, 4, 8) === "ftyp") return ["avif", "avis"].includes(text(bytes, 8, 12)) ? "avif" : "heic";
  return "";
}

async function imageOf(url) {
  const image = new Image();
  image.src = url;
  await image.decode();
  return image;
}

function thumbOf(image) {
  const canvas = document.createElement("canvas");
  const scale = THUMB / Math.min(image.naturalWidth, image.naturalHeight);
  canvas.width = canvas.height = THUMB;
  const [width, height] = [image.naturalWidth * scale, image.naturalHeight * scale];
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(image, (THUMB - width) / 2, (THUMB - height) / 2, width, height);
  return new Promise(done => canvas.toBlob(done, "image/webp", 0.8));
}

// {format, width, height, url, thumb}: url and thumb null where this browser cannot show it, and both sides 0 where its
// header does not tell them either.
export async function lookAt(blob) {
  const format = formatOf(new Uint8Array(await blob.slice(0, 32).arrayBuffer()));
  const url = URL.createObjectURL(blob);
  try {
    if (!isShown(format)) throw new Error("not shown");
    const image = await imageOf(url);
    return {format, width: image.naturalWidth, height: image.naturalHeight, url, thumb: await thumbOf(image)};
  } catch {
    URL.revokeObjectURL(url);
    const [width, height] = await sizeOf(blob, format);
    return {format, width, height, url: null, thumb: null};
  }
}
