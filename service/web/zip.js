// A .zip of stored files (APPNOTE 6.3.10), made here: pictures are compressed already. Names are UTF-8.

const TABLE = Uint32Array.from({length: 256}, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value;
});

export function crc32(bytes) {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = TABLE[(crc ^ byte) & 0xff] ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}

// Numbers as they lie in a zip: [bytes, value] pairs, little-endian.
function packed(...fields) {
  const view = new DataView(new ArrayBuffer(fields.reduce((sum, [size]) => sum + size, 0)));
  let at = 0;
  for (const [size, value] of fields) {
    if (size === 2) view.setUint16(at, value, true);
    else view.setUint32(at, value, true);
    at += size;
  }
  return new Uint8Array(view.buffer);
}

function dosTime(date) {
  const time = (date.getHours() << 11) | (date.getMinutes() << 5) | (date.getSeconds() >> 1);
  return [time, ((date.getFullYear() - 1980) << 9) | ((date.getMonth() + 1) << 5) | date.getDate()];
}

// No two files of one name: `a.png`, `a (2).png`.
export function distinct(names) {
  const taken = new Set();
  return names.map(name => {
    const [, stem, ending] = name.match(/^(.*?)(\.[^.]*)?$/s);
    let one = name;
    for (let count = 2; taken.has(one); count++) one = `${stem} (${count})${ending ?? ""}`;
    taken.add(one);
    return one;
  });
}

// `files`: [{name, blob}]; all of them together below 4 GB. Each is in memory for its checksum, one at a time.
export async function zip(files, date = new Date()) {
  const names = distinct(files.map(file => file.name));
  const [time, day] = dosTime(date);
  const parts = [];
  const directory = [];
  let offset = 0;
  for (const [index, {blob}] of files.entries()) {
    const name = new TextEncoder().encode(names[index]);
    const crc = crc32(new Uint8Array(await blob.arrayBuffer()));
    const facts = [[2, 20], [2, 0x0800], [2, 0], [2, time], [2, day], [4, crc], [4, blob.size], [4, blob.size], [2, name.length], [2, 0]];
    parts.push(packed([4, 0x04034b50], ...facts), name, blob);
    directory.push(packed([4, 0x02014b50], [2, 20], ...facts, [2, 0], [2, 0], [2, 0], [4, 0], [4, offset]), name);
    offset += 30 + name.length + blob.size;
  }
  const size = directory.reduce((sum, part) => sum + part.length, 0);
  const count = files.length;
  const end = packed([4, 0x06054b50], [2, 0], [2, 0], [2, count], [2, count], [4, size], [4, offset], [2, 0]);
  return new Blob([...parts, ...directory, end], {type: "application/zip"});
}
