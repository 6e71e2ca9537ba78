// The tools: from places in a slice to changed labels of the active mask.
import { growCut, INSIDE, OUTSIDE } from "./growcut.js";
import { interpolateSlices } from "./interpolate.js";
import { fillEnclosed, paintPath, paintPolygon, Stroke } from "./paint.js";
import { PLANES, sliceSteps } from "./planes.js";

const [THINNEST_MM, THICKEST_MM] = [0.5, 60];

export class Editor {
  /** @param page has view, image (values), window, active() and changed(mask, marks) */
  constructor(page) {
    this.page = page;
    this.tool = "navigate";
    this.label = 1;
    this.size = 0.5;
    this.marks = new Map(); // of grow-cut: voxel to INSIDE or OUTSIDE, apart from the mask
    this.stroke = null;
  }

  /** Radius in mm of a slider that is finer at small sizes. */
  get radiusMm() {
    return THINNEST_MM * (THICKEST_MM / THINNEST_MM) ** this.size;
  }

  spacing(plane) {
    const [u, v] = PLANES[plane].axes;
    return { u: this.page.view.spacing[u], v: this.page.view.spacing[v] };
  }

  get #value() {
    return this.tool === "erase" ? 0 : this.label;
  }

  get marking() {
    return this.tool === "inside" || this.tool === "outside";
  }

  begin(tile, place) {
    const mask = this.page.active();
    if (!mask?.data) return false;
    const slice = this.page.view.cross[PLANES[tile.plane].axes[2]];
    this.stroke = { plane: tile.plane, slice, path: [place], changes: new Stroke(mask.data), mask };
    this.#apply([place]);
    return true;
  }

  move(place) {
    if (!this.stroke) return;
    const last = this.stroke.path.at(-1);
    this.stroke.path.push(place);
    this.#apply([last, place]);
  }

  #apply(path) {
    const { plane, slice, changes } = this.stroke;
    const { shape } = this.page.view;
    if (this.tool === "fill") return;
    if (this.marking) {
      // Marks are painted with the same brush into a separate layer.
      const mark = this.tool === "inside" ? INSIDE : OUTSIDE;
      const layer = { data: [], set: (index) => this.marks.set(index, mark) };
      paintPath(layer, shape, this.spacing(plane), plane, slice, path, this.radiusMm, mark);
      this.page.changed(null, true);
      return;
    }
    paintPath(changes, shape, this.spacing(plane), plane, slice, path, this.radiusMm, this.#value);
    this.page.changed(this.stroke.mask, false);
  }

  end() {
    const stroke = this.stroke;
    this.stroke = null;
    if (!stroke || this.marking) return;
    if (this.tool === "fill" && stroke.path.length > 2) {
      paintPolygon(stroke.changes, this.page.view.shape, stroke.plane, stroke.slice, stroke.path, this.#value);
    }
    if (this.#keep(stroke.mask, stroke.changes)) stroke.mask.edited[stroke.plane].add(stroke.slice);
  }

  cancel() {
    const stroke = this.stroke;
    this.stroke = null;
    if (!stroke || this.marking) return;
    for (const [index, before] of stroke.changes.before) stroke.mask.data[index] = before;
    this.page.changed(stroke.mask, true);
  }

  fillOutlines(plane) {
    const mask = this.page.active();
    const slice = this.page.view.cross[PLANES[plane].axes[2]];
    const changes = new Stroke(mask.data);
    fillEnclosed(changes, this.page.view.shape, plane, slice, this.label);
    if (this.#keep(mask, changes)) mask.edited[plane].add(slice);
  }

  /** Slices drawn on in this plane, at least two of them, or none. */
  keys(plane) {
    const keys = [...(this.page.active()?.edited[plane] ?? [])].sort((a, b) => a - b);
    return keys.some((key, at) => at && key - keys[at - 1] > 1) ? keys : [];
  }

  interpolate(plane) {
    const mask = this.page.active();
    const changes = new Stroke(mask.data);
    interpolateSlices(changes, this.page.view.shape, this.spacing(plane), plane, this.keys(plane), this.label);
    this.#keep(mask, changes);
    mask.edited[plane].clear();
  }

  get canGrow() {
    const kinds = new Set(this.marks.values());
    return kinds.has(INSIDE) && kinds.has(OUTSIDE);
  }

  grow() {
    const mask = this.page.active();
    const changes = new Stroke(mask.data);
    for (const { index, inside } of growCut(this.page.image, this.page.view.shape, this.marks, this.page.window)) {
      if (inside) changes.set(index, this.label);
      else if (mask.data[index] === this.label) changes.set(index, 0);
    }
    this.marks.clear();
    this.#keep(mask, changes);
  }

  clearMarks() {
    this.marks.clear();
    this.page.changed(null, true);
  }

  undo() {
    const mask = this.page.active();
    if (mask.history.undo(mask.data)) this.page.changed(mask, true);
  }

  redo() {
    const mask = this.page.active();
    if (mask.history.redo(mask.data)) this.page.changed(mask, true);
  }

  /** Replaces the labels with those of another version, as one change that can be undone. */
  replace(mask, data) {
    const changes = new Stroke(mask.data);
    for (let at = 0; at < data.length; at++) changes.set(at, data[at]);
    this.#keep(mask, changes);
  }

  #keep(mask, changes) {
    const change = changes.finish();
    if (change) mask.history.add(change);
    this.page.changed(mask, true);
    return change !== null;
  }
}

/** The marks of grow-cut as labels, for drawing. */
export function marksIn(marks, shape, plane, slice) {
  const { nu, nv, su, sv, sw } = sliceSteps(shape, plane);
  const found = [];
  for (let v = 0; v < nv; v++) {
    for (let u = 0; u < nu; u++) {
      const mark = marks.get(u * su + v * sv + slice * sw);
      if (mark) found.push([u, v, mark === INSIDE]);
    }
  }
  return found;
}
