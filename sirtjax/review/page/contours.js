// Closed lines around what is at or above a level in one slice (marching squares), in voxel coordinates.

// Per case of the four corners (1: here, 2: right, 4: right above, 8: above): directed pieces from edge to edge, the
// inside on the left. Edges: 0 below, 1 right, 2 above, 3 left. Saddles separate areas that touch only at a corner.
const PIECES = [
  [], [[0, 3]], [[1, 0]], [[1, 3]], [[2, 1]], [[0, 3], [2, 1]], [[2, 0]], [[2, 3]],
  [[3, 2]], [[0, 2]], [[1, 0], [3, 2]], [[1, 2]], [[3, 1]], [[0, 1]], [[3, 0]], [],
];

/**
 * @param values one slice, its horizontal axis fastest
 * @param level what is inside: values >= level
 * @param smooth whether a line crosses between two voxels where the values say, or half-way as for labels
 * @returns {Float32Array[]} loops of x, y pairs
 */
export function contours(values, nu, nv, level, smooth) {
  const width = nu + 2; // a border of outside closes every line
  const inside = new Uint8Array(width * (nv + 2));
  let any = false;
  for (let v = 0, at = 0; v < nv; v++) {
    for (let u = 0; u < nu; u++, at++) {
      if (values[at] >= level) {
        inside[(v + 1) * width + u + 1] = 1;
        any = true;
      }
    }
  }
  if (!any) return [];
  const next = new Map();
  for (let y = 0; y <= nv; y++) {
    for (let x = 0; x <= nu; x++) {
      const here = y * width + x;
      const kind = inside[here] | (inside[here + 1] << 1) | (inside[here + width + 1] << 2) | (inside[here + width] << 3);
      for (const [from, to] of PIECES[kind]) next.set(edge(here, from, width), edge(here, to, width));
    }
  }
  const value = (x, y) => (x < 0 || y < 0 || x >= nu || y >= nv ? 0 : values[y * nu + x]);
  const point = (name) => {
    const cell = name >> 1;
    const x = (cell % width) - 1;
    const y = Math.floor(cell / width) - 1;
    const upright = name & 1;
    let share = 0.5;
    if (smooth) {
      const a = value(x, y);
      const b = upright ? value(x, y + 1) : value(x + 1, y);
      share = a === b ? 0.5 : (level - a) / (b - a);
    }
    return upright ? [x, y + share] : [x + share, y];
  };
  const loops = [];
  for (const first of next.keys()) {
    if (!next.has(first)) continue;
    const loop = [];
    for (let at = first; next.has(at); ) {
      loop.push(...point(at));
      const onward = next.get(at);
      next.delete(at);
      at = onward;
    }
    loops.push(Float32Array.from(loop));
  }
  return loops;
}

// An edge's name: twice its lower left corner, and one more if it is upright.
function edge(corner, side, width) {
  if (side === 0) return 2 * corner;
  if (side === 1) return 2 * (corner + 1) + 1;
  if (side === 2) return 2 * (corner + width);
  return 2 * corner + 1;
}
