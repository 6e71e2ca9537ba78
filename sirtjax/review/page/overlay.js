// Everything drawn as lines over the viewer: masks, isodoses, the cross, the brush, the deformation grid.
import { contours } from "./contours.js";
import { strokeByValue } from "./dependence.js";
import { marksIn } from "./editor.js";
import { PLANES, takeSlice } from "./planes.js";

export const ISODOSE_COLOURS = ["#4cc9f0", "#4895ef", "#80ed99", "#f9c74f", "#f8961e", "#f3722c", "#ff5d8f", "#ffffff"];

export class Overlay {
  constructor(canvas, view) {
    this.canvas = canvas;
    this.view = view;
    this.kept = new Map();
  }

  /** Forget lines of what has changed; without a name, of everything. */
  forget(name = null) {
    for (const key of [...this.kept.keys()]) if (name === null || key.startsWith(`${name}|`)) this.kept.delete(key);
  }

  /**
   * @param scene {masks: [{name, data, labels: [{value, colour}], active, fill, outline, dashed}], dose, brush, path, grid}
   */
  draw(scene) {
    const ratio = globalThis.devicePixelRatio || 1;
    const [width, height] = [this.canvas.clientWidth, this.canvas.clientHeight];
    if (this.canvas.width !== Math.round(width * ratio)) this.canvas.width = Math.round(width * ratio);
    if (this.canvas.height !== Math.round(height * ratio)) this.canvas.height = Math.round(height * ratio);
    const pen = this.canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    this.unit = Math.max(1, Math.min(width, height) / 700);
    for (const tile of this.view.tiles()) {
      pen.save();
      pen.beginPath();
      pen.rect(tile.left, tile.top, tile.width, tile.height);
      pen.clip();
      this.#tile(pen, tile, scene);
      pen.restore();
    }
  }

  #tile(pen, tile, scene) {
    const slice = this.view.cross[PLANES[tile.plane].axes[2]];
    for (const mask of scene.masks) {
      for (const label of mask.labels) this.#mask(pen, tile, slice, mask, label);
    }
    if (scene.dose) {
      scene.dose.levels.forEach(({ steps, colour }) => {
        const loops = this.#loops(`dose|${steps}`, tile.plane, slice, scene.dose.data, (values, nu, nv) =>
          contours(values, nu, nv, steps, true),
        );
        this.#stroke(pen, tile, loops, colour, 1.2 * this.unit, []);
      });
    }
    // Above the isodoses, which often follow the edges of lesions.
    for (const mask of scene.masks.filter((one) => one.dependence && one.outline)) {
      for (const label of mask.labels) this.#dependence(pen, tile, slice, mask, label);
    }
    if (scene.marks.size) this.#marks(pen, tile, slice, scene.marks);
    if (scene.grid) this.#grid(pen, tile, slice, scene.grid);
    this.#cross(pen, tile);
    if (scene.path && scene.path.plane === tile.plane) this.#path(pen, tile, scene.path);
    if (scene.brush && scene.brush.plane === tile.plane) this.#brush(pen, tile, scene.brush);
    this.#letters(pen, tile, slice);
  }

  #mask(pen, tile, slice, mask, { value, colour, name }) {
    if (!mask.fill && !mask.outline) return;
    const loops = this.#outline(tile, slice, mask, value);
    if (!loops.length) return;
    if (mask.fill) {
      pen.globalAlpha = mask.active ? mask.opacity : mask.opacity * 0.6;
      pen.fillStyle = colour;
      this.#trace(pen, tile, loops);
      pen.fill("evenodd");
      pen.globalAlpha = 1;
    }
    if (mask.outline && !mask.dependence?.row(name)) {
      const dash = mask.dashed ? [6 * this.unit, 4 * this.unit] : [];
      this.#stroke(pen, tile, loops, colour, (mask.active ? 2 : 1.3) * this.unit, dash);
    }
  }

  #outline(tile, slice, mask, value) {
    return this.#loops(`${mask.name}|${value}`, tile.plane, slice, mask.data, (values, nu, nv) =>
      contours(values.map((label) => (label === value ? 1 : 0)), nu, nv, 1, false),
    );
  }

  #dependence(pen, tile, slice, mask, { value, name }) {
    const row = mask.dependence.row(name);
    if (!row) return;
    const [u, v, w] = PLANES[tile.plane].axes;
    const voxel = [0, 0, 0];
    voxel[w] = slice;
    const at = (x, y) => {
      [voxel[u], voxel[v]] = [x, y];
      return mask.dependence.at(voxel);
    };
    const screen = (x, y) => this.view.toScreen(tile, x, y);
    strokeByValue(pen, this.#outline(tile, slice, mask, value), { at, screen, row, unit: this.unit });
  }

  #loops(name, plane, slice, data, make) {
    const key = `${name}|${plane}|${slice}`;
    let found = this.kept.get(key);
    if (!found) {
      if (this.kept.size > 4000) this.kept.clear();
      const [u, v] = PLANES[plane].axes;
      found = make(takeSlice(data, this.view.shape, plane, slice), this.view.shape[u], this.view.shape[v]);
      this.kept.set(key, found);
    }
    return found;
  }

  #trace(pen, tile, loops) {
    // Pixels are linear in voxels: two corners say how.
    const [x0, y0] = this.view.toScreen(tile, 0, 0);
    const [x1, y1] = this.view.toScreen(tile, 1, 1);
    pen.beginPath();
    for (const loop of loops) {
      for (let at = 0; at < loop.length; at += 2) {
        const [x, y] = [x0 + loop[at] * (x1 - x0), y0 + loop[at + 1] * (y1 - y0)];
        if (at) pen.lineTo(x, y);
        else pen.moveTo(x, y);
      }
      pen.closePath();
    }
  }

  #stroke(pen, tile, loops, colour, width, dash) {
    if (!loops.length) return;
    this.#trace(pen, tile, loops);
    pen.lineJoin = "round";
    pen.setLineDash(dash);
    pen.lineWidth = width;
    pen.strokeStyle = colour;
    pen.stroke();
    pen.setLineDash([]);
  }

  #marks(pen, tile, slice, marks) {
    const [x0, y0] = this.view.toScreen(tile, -0.5, -0.5);
    const [x1, y1] = this.view.toScreen(tile, 0.5, 0.5);
    for (const [u, v, inside] of marksIn(marks, this.view.shape, tile.plane, slice)) {
      pen.fillStyle = inside ? "rgba(125, 255, 154, 0.7)" : "rgba(255, 110, 110, 0.7)";
      pen.fillRect(x0 + u * (x1 - x0), y0 + v * (y1 - y0), x1 - x0, y1 - y0);
    }
  }

  #cross(pen, tile) {
    const [u, v] = PLANES[tile.plane].axes;
    const [x, y] = this.view.toScreen(tile, this.view.cross[u], this.view.cross[v]);
    const gap = 14 * this.unit;
    pen.strokeStyle = "rgba(150, 190, 255, 0.55)";
    pen.lineWidth = 1;
    pen.beginPath();
    pen.moveTo(tile.left, y);
    pen.lineTo(x - gap, y);
    pen.moveTo(x + gap, y);
    pen.lineTo(tile.left + tile.width, y);
    pen.moveTo(x, tile.top);
    pen.lineTo(x, y - gap);
    pen.moveTo(x, y + gap);
    pen.lineTo(x, tile.top + tile.height);
    pen.stroke();
  }

  #brush(pen, tile, brush) {
    const { axes } = PLANES[tile.plane];
    const [x, y] = this.view.toScreen(tile, brush.u, brush.v);
    const [ex, ey] = this.view.toScreen(
      tile,
      brush.u + brush.radiusMm / this.view.spacing[axes[0]],
      brush.v + brush.radiusMm / this.view.spacing[axes[1]],
    );
    pen.strokeStyle = brush.colour;
    pen.lineWidth = 1.4 * this.unit;
    pen.beginPath();
    pen.ellipse(x, y, Math.max(2, Math.abs(ex - x)), Math.max(2, Math.abs(ey - y)), 0, 0, 2 * Math.PI);
    pen.stroke();
  }

  #path(pen, tile, path) {
    pen.strokeStyle = path.colour;
    pen.lineWidth = 2 * this.unit;
    pen.beginPath();
    path.points.forEach(([u, v], at) => {
      const [x, y] = this.view.toScreen(tile, u, v);
      if (at) pen.lineTo(x, y);
      else pen.moveTo(x, y);
    });
    pen.stroke();
  }

  /** Lines of the lattice that lie nearest to the slice, bent by the transform. */
  #grid(pen, tile, slice, grid) {
    const [u, v, w] = PLANES[tile.plane].axes;
    const [nu, nv, nw] = [grid.shape[u], grid.shape[v], grid.shape[w]];
    const layer = Math.round((slice / Math.max(1, this.view.shape[w] - 1)) * (nw - 1));
    const strides = [grid.shape[1] * grid.shape[2], grid.shape[2], 1];
    const point = (a, b) => {
      const at = 3 * (a * strides[u] + b * strides[v] + layer * strides[w]);
      return this.view.toScreen(tile, grid.voxels[at + u], grid.voxels[at + v]);
    };
    pen.strokeStyle = "rgba(255, 214, 102, 0.75)";
    pen.lineWidth = this.unit;
    pen.beginPath();
    const line = (count, of) => {
      for (let at = 0; at < count; at++) at ? pen.lineTo(...of(at)) : pen.moveTo(...of(at));
    };
    for (let b = 0; b < nv; b++) line(nu, (a) => point(a, b));
    for (let a = 0; a < nu; a++) line(nv, (b) => point(a, b));
    pen.stroke();
  }

  #letters(pen, tile, slice) {
    const size = Math.max(11, Math.min(22, 12 * this.unit));
    const { name, ends, axes } = PLANES[tile.plane];
    // Radiological orientation: the first axis points to the left.
    const [left, right] = tile.fov[0] < 0 ? [ends[0][1], ends[0][0]] : ends[0];
    const [x, y] = [tile.left + tile.width / 2, tile.top + tile.height / 2];
    pen.font = `600 ${size}px system-ui, sans-serif`;
    pen.textBaseline = "middle";
    pen.shadowColor = "black";
    pen.shadowBlur = 4;
    pen.fillStyle = "rgba(226, 234, 244, 0.92)";
    const text = (words, at, down, align) => {
      pen.textAlign = align;
      pen.fillText(words, at, down);
    };
    text(left, tile.left + 6, y, "left");
    text(right, tile.left + tile.width - 6, y, "right");
    text(ends[1][1], x, tile.top + size, "center");
    text(ends[1][0], x, tile.top + tile.height - size, "center");
    pen.font = `${size * 0.9}px system-ui, sans-serif`;
    text(`${name} ${slice + 1}/${this.view.shape[axes[2]]}`, tile.left + 6, tile.top + size, "left");
    pen.shadowBlur = 0;
  }
}
