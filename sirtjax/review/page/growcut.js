// Grow-cut: marks inside and outside grow through the image until they meet. Each voxel goes to the mark from which
// the cheapest path leads to it, a path costing its steps in grey values and a little for its length.

export const INSIDE = 254;
export const OUTSIDE = 255;
const LEVELS = 256;
const MARGIN = 6;

/**
 * @param image grey values
 * @param seeds Map from voxel index to INSIDE or OUTSIDE
 * @param window the grey values that count as darkest and brightest
 * @returns {{index: number, inside: boolean}[]} every voxel of the marks' surroundings
 */
export function growCut(image, shape, seeds, window) {
  const box = surroundings(shape, seeds);
  const [nx, ny, nz] = box.size;
  const count = nx * ny * nz;
  const grey = new Uint8Array(count);
  const whole = (x, y, z) => x + box.start[0] + shape[0] * (y + box.start[1] + shape[1] * (z + box.start[2]));
  const scale = (LEVELS - 1) / Math.max(window.high - window.low, 1e-6);
  for (let z = 0, at = 0; z < nz; z++) {
    for (let y = 0; y < ny; y++) {
      for (let x = 0; x < nx; x++, at++) {
        grey[at] = Math.max(0, Math.min(LEVELS - 1, (image[whole(x, y, z)] - window.low) * scale));
      }
    }
  }
  const cost = new Float64Array(count).fill(Infinity);
  const owner = new Uint8Array(count);
  // Costs are whole numbers and grow by at most LEVELS: as many buckets as that are in use at a time.
  const buckets = Array.from({ length: LEVELS + 1 }, () => []);
  let waiting = 0;
  const offer = (at, price, mark) => {
    if (price >= cost[at]) return;
    cost[at] = price;
    owner[at] = mark;
    buckets[price % buckets.length].push([at, price]);
    waiting++;
  };
  for (const [index, mark] of seeds) {
    const x = (index % shape[0]) - box.start[0];
    const y = (Math.floor(index / shape[0]) % shape[1]) - box.start[1];
    const z = Math.floor(index / (shape[0] * shape[1])) - box.start[2];
    offer(x + nx * (y + ny * z), 0, mark);
  }
  for (let price = 0; waiting > 0; price++) {
    const bucket = buckets[price % buckets.length];
    while (bucket.length) {
      const [at, asked] = bucket.pop();
      waiting--;
      if (asked !== cost[at]) continue;
      const [x, y, z] = [at % nx, Math.floor(at / nx) % ny, Math.floor(at / (nx * ny))];
      const step = (to) => offer(to, asked + 1 + Math.abs(grey[to] - grey[at]), owner[at]);
      if (x > 0) step(at - 1);
      if (x + 1 < nx) step(at + 1);
      if (y > 0) step(at - nx);
      if (y + 1 < ny) step(at + nx);
      if (z > 0) step(at - nx * ny);
      if (z + 1 < nz) step(at + nx * ny);
    }
  }
  const found = [];
  for (let z = 0, at = 0; z < nz; z++) {
    for (let y = 0; y < ny; y++) {
      for (let x = 0; x < nx; x++, at++) found.push({ index: whole(x, y, z), inside: owner[at] === INSIDE });
    }
  }
  return found;
}

function surroundings(shape, seeds) {
  const low = [Infinity, Infinity, Infinity];
  const high = [-1, -1, -1];
  for (const index of seeds.keys()) {
    const at = [index % shape[0], Math.floor(index / shape[0]) % shape[1], Math.floor(index / (shape[0] * shape[1]))];
    at.forEach((value, axis) => {
      low[axis] = Math.min(low[axis], value);
      high[axis] = Math.max(high[axis], value);
    });
  }
  const start = low.map((value) => Math.max(0, value - MARGIN));
  return { start, size: high.map((value, axis) => Math.min(shape[axis], value + MARGIN + 1) - start[axis]) };
}
