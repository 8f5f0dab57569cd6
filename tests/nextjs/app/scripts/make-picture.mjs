// Writes public/picture.png: a 320 x 200 gradient, made with nothing but zlib
// (every row says how it differs from the pixel to its left: PNG's filter 1).
import { writeFileSync } from 'node:fs';
import { crc32, deflateSync } from 'node:zlib';

const width = 320;
const height = 200;

function chunk(type, data) {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(data.length);
  const checksum = Buffer.alloc(4);
  checksum.writeUInt32BE(crc32(body));
  return Buffer.concat([length, body, checksum]);
}

const header = Buffer.alloc(13);
header.writeUInt32BE(width, 0);
header.writeUInt32BE(height, 4);
header.set([8, 2, 0, 0, 0], 8); // 8 bits a channel, RGB

const rows = Buffer.alloc(height * (1 + width * 3));
for (let y = 0; y < height; y += 1) {
  rows[y * (1 + width * 3)] = 1;
  for (let x = 0; x < width; x += 1) {
    const at = y * (1 + width * 3) + 1 + x * 3;
    const pixel = [Math.round((255 * x) / (width - 1)), Math.round((255 * y) / (height - 1)), 128];
    const left = x === 0 ? [0, 0, 0] : [Math.round((255 * (x - 1)) / (width - 1)), pixel[1], 128];
    pixel.forEach((value, channel) => { rows[at + channel] = value - left[channel]; });
  }
}

const png = Buffer.concat([
  Buffer.from('89504e470d0a1a0a', 'hex'),
  chunk('IHDR', header),
  chunk('IDAT', deflateSync(rows, { level: 9 })),
  chunk('IEND', Buffer.alloc(0)),
]);
writeFileSync(new URL('../public/picture.png', import.meta.url), png);
