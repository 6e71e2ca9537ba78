// What tools do to labels: each returns the indices it changed with their former values, for undoing.
import { sliceSteps } from "./planes.js";

/** Collects changes of one stroke; a voxel's first value is what undoing brings back. */
export class Stroke {
  constructor(data) {
    this.data = data;
    this.before = new Map();
  }
  set(index, value) {
    const old = this.data[index];
    if (old === value) return;
    if (!this.before.has(index)) this.before.set(index, old);
    this.data[index] = value;
  }
  /** @returns {{index: Uint32Array, before: Uint8Array, after: Uint8Array} | null} */
  finish() {
    const index = Uint32Array.from(this.before.keys()).filter((at) => this.data[at] !== this.before.get(at));
    if (!index.length) return null;
    return {
      index,
      before: Uint8Array.from(index, (at) => this.before.get(at)),
      after: Uint8Array.from(index, (at) => this.data[at]),
    };
  }
}

/** A disc of this radius around each point of a path, in one slice. */
export function paintPath(stroke, shape, spacing, plane, slice, path, radiusMm, value) {
  const { nu, nv, su, sv, sw } = sliceSteps(shape, plane);
  const [au, av] = [spacing.u, spacing.v];
  for (const [cu, cv] of dense(path, spacing, radiusMm)) {
    const [ru, rv] = [radiusMm / au, radiusMm / av];
    const nearest = [Math.round(cu), Math.round(cv)];
    for (let v = Math.max(0, Math.floor(cv - rv)); v <= Math.min(nv - 1, Math.ceil(cv + rv)); v++) {
      for (let u = Math.max(0, Math.floor(cu - ru)); u <= Math.min(nu - 1, Math.ceil(cu + ru)); u++) {
        const near = ((u - cu) * au) ** 2 + ((v - cv) * av) ** 2 <= radiusMm ** 2;
        // The voxel under the pointer counts however thin the pen is.
        if (near || (u === nearest[0] && v === nearest[1])) stroke.set(u * su + v * sv + slice * sw, value);
      }
    }
  }
}

/** The inside of a closed path, as by a pencil that fills what it goes around. */
export function paintPolygon(stroke, shape, plane, slice, path, value) {
  const { nu, nv, su, sv, sw } = sliceSteps(shape, plane);
  for (let v = 0; v < nv; v++) {
    const crossings = [];
    for (let at = 0; at < path.length; at++) {
      const [[u0, v0], [u1, v1]] = [path[at], path[(at + 1) % path.length]];
      if (v0 <= v !== v1 <= v) crossings.push(u0 + ((v - v0) / (v1 - v0)) * (u1 - u0));
    }
    crossings.sort((a, b) => a - b);
    for (let pair = 0; pair + 1 < crossings.length; pair += 2) {
      const last = Math.min(nu - 1, Math.floor(crossings[pair + 1]));
      for (let u = Math.max(0, Math.ceil(crossings[pair])); u <= last; u++) stroke.set(u * su + v * sv + slice * sw, value);
    }
  }
}

/** What the outlines of a label enclose in one slice: everything that the slice's rim can't reach. */
export function fillEnclosed(stroke, shape, plane, slice, value) {
  const { nu, nv, su, sv, sw } = sliceSteps(shape, plane);
  const at = (u, v) => u * su + v * sv + slice * sw;
  const reached = new Uint8Array(nu * nv);
  const queue = [];
  const visit = (u, v) => {
    if (u < 0 || v < 0 || u >= nu || v >= nv || reached[v * nu + u] || stroke.data[at(u, v)] === value) return;
    reached[v * nu + u] = 1;
    queue.push([u, v]);
  };
  for (let u = 0; u < nu; u++) [0, nv - 1].forEach((v) => visit(u, v));
  for (let v = 0; v < nv; v++) [0, nu - 1].forEach((u) => visit(u, v));
  while (queue.length) {
    const [u, v] = queue.pop();
    visit(u - 1, v);
    visit(u + 1, v);
    visit(u, v - 1);
    visit(u, v + 1);
  }
  for (let v = 0; v < nv; v++) {
    for (let u = 0; u < nu; u++) if (!reached[v * nu + u]) stroke.set(at(u, v), value);
  }
}

// Points so near to each other that the discs around them leave no gaps.
function* dense(path, spacing, radiusMm) {
  let last = path[0];
  yield last;
  for (const point of path.slice(1)) {
    const length = Math.hypot((point[0] - last[0]) * spacing.u, (point[1] - last[1]) * spacing.v);
    const steps = Math.max(1, Math.ceil(length / Math.max(0.5 * radiusMm, 0.4 * Math.min(spacing.u, spacing.v))));
    for (let step = 1; step <= steps; step++) {
      yield [0, 1].map((axis) => last[axis] + (point[axis] - last[axis]) * (step / steps));
    }
    last = point;
  }
}
