// How large a picture is by its own header, for what this browser cannot show: TIFF 6.0 and HEIF (ISO/IEC 23008-12).
// Only what the size takes is read; the service reads the rest.

const ENTRY = 12; // bytes
const MOST_ENTRIES = 4096;
const MOST_META = 1 << 20;
const WIDTH = 256;
const HEIGHT = 257;
const ORIENTATION = 274;

const part = async (blob, from, bytes) => new DataView(await blob.slice(from, from + bytes).arrayBuffer());

async function ofTiff(blob) {
  const head = await part(blob, 0, 8);
  const little = head.getUint8(0) === 0x49;
  const directory = head.getUint32(4, little);
  const count = Math.min(MOST_ENTRIES, (await part(blob, directory, 2)).getUint16(0, little));
  const entries = await part(blob, directory + 2, count * ENTRY);
  const told = {};
  for (let at = 0; at + ENTRY <= entries.byteLength; at += ENTRY) {
    const isShort = entries.getUint16(at + 2, little) === 3;
    told[entries.getUint16(at, little)] ??= isShort ? entries.getUint16(at + 8, little) : entries.getUint32(at + 8, little);
  }
  return told[ORIENTATION] >= 5 ? [told[HEIGHT], told[WIDTH]] : [told[WIDTH], told[HEIGHT]];
}

const nameAt = (view, at) => String.fromCharCode(...[0, 1, 2, 3].map(letter => view.getUint8(at + letter)));

const largestOf = sizes => sizes.reduce((one, other) => (other[0] * other[1] > one[0] * one[1] ? other : one), [0, 0]);

// The largest of the sizes (`ispe`) in the box `meta`, the others being of tiles and thumbnails; `clap` leaves a part of it,
// `irot` turns it.
function withinMeta(meta) {
  const [whole, cut] = [[], []];
  let isTurned = false;
  for (let at = 0; at + 20 <= meta.byteLength; at++) {
    const name = nameAt(meta, at);
    const number = place => meta.getUint32(at + place);
    if (name === "ispe") whole.push([number(8), number(12)]);
    if (name === "clap") cut.push([number(4) / number(8), number(12) / number(16)].map(Math.round));
    if (name === "irot") isTurned = meta.getUint8(at + 4) % 2 === 1;
  }
  const largest = largestOf(cut.length ? cut : whole);
  return isTurned ? [...largest].reverse() : largest;
}

async function ofHeif(blob) {
  for (let at = 0; at + 16 <= blob.size; ) {
    const box = await part(blob, at, 16);
    const length = box.getUint32(0) === 1 ? Number(box.getBigUint64(8)) : box.getUint32(0);
    if (nameAt(box, 4) === "meta") return withinMeta(await part(blob, at, Math.min(length, MOST_META)));
    if (length < 8) break;
    at += length;
  }
  return [0, 0];
}

const READERS = {tiff: ofTiff, heic: ofHeif};

// [width, height] as the picture is looked at; [0, 0] where the header does not tell.
export async function sizeOf(blob, format) {
  const size = await READERS[format]?.(blob).catch(() => null); // a header that ends early
  return size?.every(side => side > 0) ? size : [0, 0];
}
