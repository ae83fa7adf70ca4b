// sharp: node sharp.mjs SHARP_HOME LIST OUTPUT SIZES [default]     (SHARP_HOME: the folder with node_modules/sharp)
// Two photos at a time, one thread each, as everybody has two workers; on two CPUs, three at a time make up to 10 % more,
// two threads each make less, and so does `optimiseCoding`, which sharp does unless told otherwise.
// All sizes from one decode: the largest from the file, the smaller ones from its raw pixels.
// Without `default`: fastShrinkOnLoad off, which is the quality that `watcher` has.
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';
import path from 'node:path';

const [home, list, output, wanted, mode] = process.argv.slice(2);
const sharp = createRequire(path.join(path.resolve(home), 'x.js'))('sharp');
const sizes = wanted.split(',').map(Number);
const inFlight = Number(process.env.SHARP_IN_FLIGHT ?? 2);
sharp.concurrency(Number(process.env.SHARP_CONCURRENCY ?? 1));
sharp.cache(false);
const jpeg = { quality: 85, optimiseCoding: process.env.SHARP_OPTIMISE === '1' };
const shrink = mode === 'default' ? {} : { fastShrinkOnLoad: false };
const box = (size) => ({ width: size, height: size, fit: 'inside', withoutEnlargement: true, ...shrink });
const target = (size, file) => path.join(output, `w${size}`, path.basename(file));

async function make(file) {
  const first = sharp(file).autoOrient().resize(box(sizes[0]));
  if (sizes.length === 1) {
    await first.jpeg(jpeg).toFile(target(sizes[0], file));
    return;
  }
  const { data, info } = await first.raw().toBuffer({ resolveWithObject: true });
  const raw = { raw: { width: info.width, height: info.height, channels: info.channels } };
  const long = Math.max(info.width, info.height);
  for (const size of sizes) {
    const image = sharp(data, raw);
    if (size < long) image.resize(box(size));
    await image.jpeg(jpeg).toFile(target(size, file));
  }
}

const files = readFileSync(list, 'utf8').trimEnd().split('\n');
let next = 0;
async function worker() {
  while (next < files.length) await make(files[next++]);
}
await Promise.all(Array.from({ length: inFlight }, worker));
