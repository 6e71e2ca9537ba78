// Slices between drawn ones: their outlines' signed distances are mixed, so that a shape turns into the next.
import { sliceSteps } from "./planes.js";

const FAR = 1e20;

/** Replace the slices between each two neighbouring `keys` by the shape between them. */
export function interpolateSlices(stroke, shape, spacing, plane, keys, value) {
  const { nu, nv, su, sv, sw } = sliceSteps(shape, plane);
  const sorted = [...keys].sort((a, b) => a - b);
  const distance = (slice) => {
    const inside = new Uint8Array(nu * nv);
    for (let v = 0, at = 0; v < nv; v++) {
      for (let u = 0; u < nu; u++, at++) inside[at] = stroke.data[u * su + v * sv + slice * sw] === value ? 1 : 0;
    }
    return signedDistance(inside, nu, nv, spacing);
  };
  for (let pair = 0; pair + 1 < sorted.length; pair++) {
    const [low, high] = [sorted[pair], sorted[pair + 1]];
    if (high - low < 2) continue;
    const [below, above] = [distance(low), distance(high)];
    // There is no shape between a contour and an empty slice: the contour stays unchanged.
    if (!below || !above) continue;
    for (let slice = low + 1; slice < high; slice++) {
      const share = (slice - low) / (high - low);
      for (let v = 0, at = 0; v < nv; v++) {
        for (let u = 0; u < nu; u++, at++) {
          const index = u * su + v * sv + slice * sw;
          const inside = below[at] * (1 - share) + above[at] * share < 0;
          if (inside) stroke.set(index, value);
          else if (stroke.data[index] === value) stroke.set(index, 0);
        }
      }
    }
  }
}

/** Distance in mm to the outline, below 0 inside; null where there is no outline. */
function signedDistance(inside, nu, nv, spacing) {
  if (!inside.includes(1) || !inside.includes(0)) return null;
  const outer = squaredDistance(inside, 1, nu, nv, spacing);
  const inner = squaredDistance(inside, 0, nu, nv, spacing);
  return outer.map((to, at) => Math.sqrt(to) - Math.sqrt(inner[at]));
}

/** Squared distance to the nearest voxel of this kind: lower envelopes of parabolas along rows, then columns. */
function squaredDistance(cells, kind, nu, nv, spacing) {
  const found = Float64Array.from(cells, (cell) => (cell === kind ? 0 : FAR));
  const row = new Float64Array(Math.max(nu, nv));
  for (let v = 0; v < nv; v++) envelope(found, v * nu, 1, nu, spacing.u, row);
  for (let u = 0; u < nu; u++) envelope(found, u, nu, nv, spacing.v, row);
  return found;
}

function envelope(values, start, step, count, mm, row) {
  const roots = new Int32Array(count);
  const from = new Float64Array(count + 1);
  let last = 0;
  from[0] = -Infinity;
  from[1] = Infinity;
  for (let at = 0; at < count; at++) row[at] = values[start + at * step] / (mm * mm);
  for (let at = 1; at < count; at++) {
    let meet;
    do {
      const root = roots[last];
      meet = (row[at] + at * at - row[root] - root * root) / (2 * at - 2 * root);
    } while (meet <= from[last] && --last >= 0);
    roots[++last] = at;
    from[last] = meet;
    from[last + 1] = Infinity;
  }
  for (let at = 0, part = 0; at < count; at++) {
    while (from[part + 1] < at) part++;
    values[start + at * step] = ((at - roots[part]) ** 2 + row[roots[part]]) * mm * mm;
  }
}
